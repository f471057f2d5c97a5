"""Vendors as ASGI apps, written from their documentation; they share no code with the connectors they test."""
