"""What goes over the network and what comes back: one exchange, and which class of error it ends in."""
