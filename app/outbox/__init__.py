"""What is owed to the platforms: states and reasons, the pure policy, and the SQL of deliveries."""
