"""Meta (Facebook, Instagram) through the Conversions API: conversions of CRM leads."""
