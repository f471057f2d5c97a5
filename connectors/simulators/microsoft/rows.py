"""Judging single rows as Microsoft does: each row by itself, with one code."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connectors.simulators.microsoft.ledger import Key

if TYPE_CHECKING:
    from connectors.simulators.microsoft.platform import Goal, MicrosoftPlatform

OLDEST = timedelta(days=90)
YOUNGEST_GOAL = timedelta(hours=2)
CLICK_ID = re.compile(r"[0-9a-fA-F-]{32,36}")
DIGEST = re.compile(r"[0-9a-f]{64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z")
CURRENCIES = frozenset(
    [
        "AUD",
        "BRL",
        "CAD",
        "CHF",
        "CZK",
        "DKK",
        "EUR",
        "GBP",
        "HKD",
        "HUF",
        "INR",
        "JPY",
        "KWD",
        "MXN",
        "NOK",
        "NZD",
        "PLN",
        "SEK",
        "SGD",
        "TRY",
        "USD",
        "ZAR",
    ]
)
FIELDS = frozenset(
    {
        "ConversionName",
        "ConversionTime",
        "MicrosoftClickId",
        "HashedEmailAddress",
        "HashedPhoneNumber",
        "ConversionValue",
        "ConversionCurrencyCode",
        "ExternalAttributionCredit",
        "ExternalAttributionModel",
    }
)
ADJUSTMENT_FIELDS = (FIELDS - {"ConversionValue", "ConversionCurrencyCode"}) | {
    "AdjustmentType",
    "AdjustmentTime",
    "AdjustmentValue",
    "AdjustmentCurrencyCode",
}


def judge(platform: "MicrosoftPlatform", row: Any, now: datetime, *, adjusts: bool) -> int | None:
    """The code with which a row is refused, None where it is taken."""
    if not isinstance(row, Mapping):
        return 5602
    if not set(row) <= (ADJUSTMENT_FIELDS if adjusts else FIELDS):
        raise ValueError("a field that the request does not have")
    refusal = platform.refusal_of(row)
    if refusal is not None:
        return refusal
    goal = platform.goals.get(row.get("ConversionName") or "")
    if goal is None or goal.status != "Active":
        return 5606 if row.get("ConversionName") else 5605
    return (
        _of_identifiers(row, goal)
        or _of_time(platform, row, goal, now)
        or (
            _of_adjustment(row, goal, now)
            if adjusts
            else _of_value(row.get("ConversionValue"), row.get("ConversionCurrencyCode"))
        )
    )


def time_of(row: Mapping[str, Any]) -> datetime:
    """The row's instant, to the second."""
    return datetime.fromisoformat(row["ConversionTime"][:19]).replace(tzinfo=UTC)


def key_of(row: Mapping[str, Any]) -> Key:
    """Goal, click id or hashes, second."""
    who = row.get("MicrosoftClickId") or f"{row.get('HashedEmailAddress')}|{row.get('HashedPhoneNumber')}"
    return row["ConversionName"], who.replace("-", "").lower(), time_of(row)


def value_of(row: Mapping[str, Any], name: str) -> Decimal | None:
    """A value that was taken."""
    return None if row.get(name) is None else Decimal(str(row[name]))


def _of_identifiers(row: Mapping[str, Any], goal: "Goal") -> int | None:
    click = row.get("MicrosoftClickId")
    hashes = [row[name] for name in ("HashedEmailAddress", "HashedPhoneNumber") if row.get(name)]
    if click is not None and not (isinstance(click, str) and CLICK_ID.fullmatch(click)):
        return 5604
    if not click and not (hashes and goal.takes_hashes):
        return 5603
    return None if all(isinstance(one, str) and DIGEST.fullmatch(one) for one in hashes) else 5603


def _of_time(platform: "MicrosoftPlatform", row: Mapping[str, Any], goal: "Goal", now: datetime) -> int | None:
    text = row.get("ConversionTime")
    if not text:
        return 5608
    if not isinstance(text, str) or not TIME.fullmatch(text):
        return 5607
    at = time_of(row)
    if at > now:
        return 5614
    if now - at > OLDEST:
        return 5609
    if now - goal.created_at < YOUNGEST_GOAL:
        return 5615
    clicked_at = platform.clicks.get(str(row.get("MicrosoftClickId") or "").replace("-", "").lower())
    if clicked_at is None:
        return None
    if at < clicked_at.replace(microsecond=0):
        return 5616
    return 5617 if at - clicked_at > goal.window else None


def _of_value(value: Any, currency: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return 5610
    return None if currency is None or currency in CURRENCIES else 5611


def _of_adjustment(row: Mapping[str, Any], goal: "Goal", now: datetime) -> int | None:
    kind, text, value = row.get("AdjustmentType"), row.get("AdjustmentTime"), row.get("AdjustmentValue")
    if not goal.takes_adjustments:
        return 5627
    if kind not in ("Restate", "Retract"):
        return 5618
    if not text:
        return 5619
    if not isinstance(text, str) or not TIME.fullmatch(text):
        return 5621
    at = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    if at < time_of(row):
        return 5620
    if at > now:
        return 5622
    if kind == "Retract":
        return None if value is None and row.get("AdjustmentCurrencyCode") is None else 5624
    return 5625 if value is None else _of_value(value, row.get("AdjustmentCurrencyCode"))
