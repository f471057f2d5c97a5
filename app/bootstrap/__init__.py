"""Settings become services: the one room where objects are built and the registry is opened."""
