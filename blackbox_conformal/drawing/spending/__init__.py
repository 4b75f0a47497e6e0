"""Costs of draws: expected, held and booked; spending without a limit is refused."""
