"""TikTok through its Events API 2.0: conversions of CRM leads, and spend."""
