"""Reports, viewers, marks and notebooks for people to look at."""
