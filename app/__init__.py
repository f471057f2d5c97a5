"""The service: its rooms in the order in which a lead change meets them."""
