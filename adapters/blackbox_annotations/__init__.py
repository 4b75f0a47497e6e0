"""Importers of annotation tools' files that ship with blackbox-conformal: one tool a file, found by its name."""
