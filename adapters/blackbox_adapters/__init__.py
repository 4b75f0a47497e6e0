"""Adapters that ship with blackbox-conformal: one vendor interface per file, found by file name."""
