"""Helpers without a subject of their own: text, files, secrets, digests and members by name."""
