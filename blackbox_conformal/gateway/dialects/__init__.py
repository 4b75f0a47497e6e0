"""One file for each dialect: the interface of a service whose clients can be pointed at the gateway."""
