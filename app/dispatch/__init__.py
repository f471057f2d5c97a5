"""From what is owed to the platform and back: batches, uploads, verdicts."""
