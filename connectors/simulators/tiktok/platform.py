"""The simulated ad account: tokens, event sets, campaigns, what was spent, what events were taken."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from connectors.simulators.tiktok import events
from connectors.simulators.tiktok.ledger import Counted, Ledger

OK = 0
BAD_PARAMETER = 40002
NO_PERMISSION = 40001
NOT_FOUND = 40007
TOKEN_EMPTY, TOKEN_WRONG, TOKEN_EXPIRED = 40104, 40105, 40102


@dataclass(slots=True)
class ApiError(Exception):
    """A code that stands in the body of a 200."""

    code: int
    message: str


@dataclass(slots=True)
class Spent:
    """One campaign on one day."""

    cost: Decimal
    clicks: int
    impressions: int


@dataclass(slots=True)
class TikTokPlatform:
    """`tokens` are valid; those of `sending_only` may read nothing. `refuses`: by event id, a code and a path or none.

    `takes_clicks`: the offline set takes click ids and external ids, on which TikTok's pages do not agree.
    """

    advertiser_id: str
    crm_sets: dict[str, str] = field(default_factory=dict)
    offline_sets: dict[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=lambda: {"token"})
    expired: set[str] = field(default_factory=set)
    sending_only: set[str] = field(default_factory=set)
    app: tuple[str, str] = ("app", "secret")
    currency: str = "USD"
    time_zone: str = "America/New_York"
    takes_clicks: bool = False
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    campaigns: dict[str, str] = field(default_factory=dict)
    spent: dict[tuple[str, date], Spent] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    calls: Counter[str] = field(default_factory=Counter)
    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def admit(self, token: str, *, reads: bool = False) -> None:
        """ApiError where the token is none, old, or may not read."""
        if not token:
            raise ApiError(TOKEN_EMPTY, "Access token is empty.")
        if token in self.expired:
            raise ApiError(TOKEN_EXPIRED, "Access token has expired.")
        if token not in self.tokens:
            raise ApiError(TOKEN_WRONG, "Access token is incorrect or has been revoked.")
        if reads and token in self.sending_only:
            raise ApiError(NO_PERMISSION, "No permission to operate on this advertiser.")

    def track(self, body: Any, now: datetime) -> None:
        """All events, or an ApiError that takes none of them."""
        if not isinstance(body, Mapping):
            raise ApiError(BAD_PARAMETER, "Invalid JSON body.")
        unknown = set(body) - {"event_source", "event_source_id", "partner_name", "test_event_code", "data"}
        source, set_id = body.get("event_source"), body.get("event_source_id")
        if unknown or source not in events.AGES:
            raise ApiError(BAD_PARAMETER, f"{sorted(unknown) or 'event_source'}: is not valid.")
        known = {"crm": self.crm_sets, "offline": self.offline_sets}.get(source, {})
        if set_id not in known:
            raise ApiError(NO_PERMISSION, "No permission to operate on this event source.")
        rows = body.get("data")
        if not isinstance(rows, list) or not 1 <= len(rows) <= events.MOST_EVENTS:
            raise ApiError(BAD_PARAMETER, "data: Length must be between 1 and 1000.")
        self._judge(rows, source, now)
        for row in rows:
            if body.get("test_event_code"):
                self.ledger.test_events.append((body["test_event_code"], row["event"]))
                continue
            value = events.value_of(row)
            counted = Counted(now, value, (row.get("properties") or {}).get("currency"), events.identifiers_of(row))
            self.ledger.take((set_id, row["event"], row.get("event_id", "")), counted)

    def _judge(self, rows: list[Any], source: str, now: datetime) -> None:
        takes_clicks = self.takes_clicks and source == "offline"
        for place, row in enumerate(rows):
            for path, words in events.faults(row, source, now, takes_clicks=takes_clicks):
                raise ApiError(BAD_PARAMETER, f"data.{place}.{path}: {words}")
            refusal = self.refuses.get(row.get("event_id", ""))
            if refusal is not None:
                code, path = refusal
                raise ApiError(code, f"data.{place}.{path}: is not accepted." if path else "Something is wrong.")
