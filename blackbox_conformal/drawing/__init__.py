"""Draws from vendors: missing draws, their cost, and ways to never lose a paid answer."""
