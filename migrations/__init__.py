"""Alembic: expand first, contract later; every step runs both ways on SQLite and PostgreSQL."""
