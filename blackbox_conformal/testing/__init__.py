"""What adapter authors test against: the contract checks and the fault server."""
