"""What draws cost: expected, held and booked; and the refusal to spend what nobody limited."""
