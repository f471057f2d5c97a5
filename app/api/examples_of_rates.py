"""Examples of the doors to currency rates."""

_RATE: dict[str, object] = {"day": "2026-11-24", "base": "EUR", "quote": "USD", "rate": "1.0845"}
RATE_PAGE: dict[str, object] = {"items": [_RATE], "next": None}
RATE_BODIES = {"day": {"summary": "A day's rates", "value": {"rates": [_RATE, {**_RATE, "base": "GBP", "rate": "1.2712"}]}}}
SAVED: dict[str, object] = {"rates": 2, "changed": 2}
