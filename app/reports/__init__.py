"""What was found, sent and why: traces and books, read-only."""
