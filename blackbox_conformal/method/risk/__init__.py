"""From two maps to one risk curve a photograph."""
