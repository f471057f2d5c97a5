"""LinkedIn through its Conversions API: conversions of CRM leads, spend, conversion rules."""
