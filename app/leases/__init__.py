"""Leases: who may read a source, drain a destination, run a job, right now."""
