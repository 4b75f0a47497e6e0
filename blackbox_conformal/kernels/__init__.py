"""Compiled loops over arrays: arrays in, arrays out.

No strings, paths, registries or policies live here.
"""
