"""Who may call: keys, and the log of what was done."""
