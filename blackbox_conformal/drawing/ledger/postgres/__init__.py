"""A ledger in PostgreSQL, with which processes on many machines draw at once (extra ``postgres``)."""
