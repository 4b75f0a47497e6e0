"""The drawing half: what is missing, what it costs, and how a paid answer is never lost."""
