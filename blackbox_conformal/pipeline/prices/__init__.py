"""What calls cost: what is at stake before them, what the vendor quotes, what was spent."""
