"""People's own rights: to be forgotten for good, to see what is stored, and that nothing is kept for longer than it is needed."""
