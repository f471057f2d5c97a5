"""Microsoft Advertising through its REST API v13: offline conversions of CRM leads, their adjustments, goals, spend."""
