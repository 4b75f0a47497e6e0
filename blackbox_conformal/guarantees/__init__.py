"""How a threshold is chosen from risk curves, one guarantee a file."""
