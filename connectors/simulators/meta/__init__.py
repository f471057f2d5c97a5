"""Simulated Meta Conversions API (v26.0, state of 2026-11): a Starlette app in front of in-memory datasets."""

from connectors.simulators.meta.app import create_meta
from connectors.simulators.meta.errors import GraphError
from connectors.simulators.meta.event import Event
from connectors.simulators.meta.ledger import Key, Ledger, LedgerEntry, Reception
from connectors.simulators.meta.platform import Dataset, MetaPlatform, Throttle, Token

__all__ = [
    "Dataset",
    "Event",
    "GraphError",
    "Key",
    "Ledger",
    "LedgerEntry",
    "MetaPlatform",
    "Reception",
    "Throttle",
    "Token",
    "create_meta",
]
