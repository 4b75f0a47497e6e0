"""Make one risk curve per photograph from its two maps."""
