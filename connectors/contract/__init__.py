"""What the service and the connectors say to each other. Standard library only."""
