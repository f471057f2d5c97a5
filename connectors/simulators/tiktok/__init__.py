"""A simulated TikTok: the Events API 2.0, event sets and reports of one ad account."""
