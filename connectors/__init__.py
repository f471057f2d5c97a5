"""Vendors: CRMs that are read and ad platforms that are told. Knows nothing of the service."""
