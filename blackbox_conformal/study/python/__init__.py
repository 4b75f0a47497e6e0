"""Offer the functions that programs call, and their keywords."""
