"""What the CRM knows becomes conversions: the document, the engine, values. Pure but for repository.py."""
