"""The parts of a comparison: who takes part, the earlier ways to mark pixels, the table."""
