"""One visit of a watch: what it draws, looks at and concludes."""
