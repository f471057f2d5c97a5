"""CRMs: one folder each; none knows another."""
