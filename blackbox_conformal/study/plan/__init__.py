"""What a statement costs, before it is paid for."""
