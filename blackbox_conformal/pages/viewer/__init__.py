"""Pages for one person on this machine: the viewer of a run folder."""
