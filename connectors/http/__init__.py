"""The only place that sends a request: client, authentication, rate limits, retries of reads, scrubbing of messages."""
