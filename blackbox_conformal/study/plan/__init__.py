"""Say what a statement costs before it is paid for."""
