"""REST doors and webhook doors."""
