"""What `suggesting` is made of: candidates, the compression that pixels show, and the search for the nearest chain."""
