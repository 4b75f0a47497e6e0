"""Which promise trusts how much at which level and price: measured shares, predictions from curves, rows."""
