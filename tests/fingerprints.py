"""Fingerprints under a key that everybody knows."""

from app.secrets import KEY_BYTES, Fingerprints

told = Fingerprints(bytes(KEY_BYTES)).of
