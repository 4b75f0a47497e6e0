"""A ledger in PostgreSQL, which processes on many machines draw with at once (extra ``postgres``)."""
