"""Free statistics of what a vendor is sent, by which inputs can be told to be of another kind; a file a statistic."""
