"""What the ad platforms' connectors share: settings from text, requests in the making, rows judged before, loose JSON."""
