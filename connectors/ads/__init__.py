"""Connectors to ad platforms: they tell an ad account what became of its leads."""
