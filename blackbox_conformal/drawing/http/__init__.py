"""One HTTP exchange, from the request to the answer or the class of error."""
