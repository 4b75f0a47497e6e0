"""Documents that are written, signed and read again."""
