"""Compiled loops over arrays: arrays in, arrays out."""
