"""What is written, signed and read again."""
