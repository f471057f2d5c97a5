"""What the process tells of itself: logs and metrics, both free of personal data and secrets."""
