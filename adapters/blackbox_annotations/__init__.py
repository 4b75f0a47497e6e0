"""Importers of annotations that ship with blackbox-conformal: one tool a file, found by the file's name."""
