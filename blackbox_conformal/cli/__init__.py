"""The command line: one command a file; no arithmetic lives here."""
