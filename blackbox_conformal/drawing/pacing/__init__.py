"""When a request may go, and whether it is made again."""
