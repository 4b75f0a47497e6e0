"""Which vendor, score, guarantee and making of inputs to take."""
