"""What calls cost: what a job may cost, and what a run folder has cost."""
