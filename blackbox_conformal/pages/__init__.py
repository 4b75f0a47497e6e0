"""What people look at: reports, viewers, marks and notebooks."""
