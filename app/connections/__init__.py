"""Sources and destinations: stored settings, tokens, pauses, and the config file applied to them."""
