"""Decides when a request may go, and whether it is repeated."""
