"""A simulated Microsoft Advertising: offline conversions, adjustments, goals, accounts and reports of one ad account."""
