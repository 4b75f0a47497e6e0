"""The functions that programs call, and their keywords."""
