"""What a person sees of results and of work that goes on, in a notebook and in a terminal: plots, tables, progress."""
