"""Records before and after each draw: the ledger, and the vendor's bytes as received."""
