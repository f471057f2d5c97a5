"""The database: the schema on one page, sessions, bulk statements."""
