"""Arrays in, numbers out: no run folder, no network, no screen."""
