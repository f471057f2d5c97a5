"""What the CRM is told of a record's conversions: one short text for people, without anything personal (pure)."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from app.outbox.states import DeliveryState, Reason
from connectors.contract.conversions import DeliveryKind

LONGEST_NOTE = 255
_TAKEN = frozenset({DeliveryState.ACCEPTED, DeliveryState.CONFIRMED})
_DATED = _TAKEN | {DeliveryState.UNMATCHED}
# What says nothing to whoever reads the CRM: how we are set up, or that a person was forgotten. A first pull has thousands.
_UNTOLD = frozenset({Reason.BEFORE_START, Reason.UNMAPPED, Reason.SUPERSEDED, Reason.ERASED, Reason.SHADOW})
# A platform's code stands in the CRM only where it is a plain word; some put whole sentences there.
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,60}")
_MORE = "; ..."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a delivery finally came to."""

    destination: str
    conversion_id: int
    milestone: str
    kind: DeliveryKind
    state: DeliveryState
    reason: str
    code: str | None
    settled_at: datetime

    @property
    def is_retracted(self) -> bool:
        """A withdrawal that the platform took."""
        return self.kind is DeliveryKind.RETRACT and self.state in _TAKEN


def status_text(outcomes: Iterable[Outcome], rank: Callable[[str], int], longest: int = LONGEST_NOTE) -> str:
    """For each destination the highest-ranked milestone's newest outcome; "" where there is none.

    `google: closed_revenue confirmed 2026-11-26; meta: qualified_lead rejected (invalid_identifier)`
    """
    told = _by_destination(outcomes, rank)
    return _cut([f"{name}: {_worded(one)}" for name, one in sorted(told.items())], longest)


def text_hash(text: str) -> str:
    """By which a text is known again."""
    return hashlib.sha256(text.encode()).hexdigest()


def _by_destination(outcomes: Iterable[Outcome], rank: Callable[[str], int]) -> Mapping[str, Outcome]:
    told: dict[str, Outcome] = {}
    for one in outcomes:
        # A correction other than a withdrawal that was taken says nothing that the upload does not.
        if one.reason in _UNTOLD or (one.kind is not DeliveryKind.UPLOAD and not one.is_retracted):
            continue
        best = told.get(one.destination)
        if best is None or _order(one, rank) > _order(best, rank):
            told[one.destination] = one
    return told


def _order(one: Outcome, rank: Callable[[str], int]) -> tuple[int, datetime, int, int]:
    """A withdrawal comes after what it withdrew, whatever the instants; ids make the choice the same every time."""
    return rank(one.milestone), one.settled_at, int(one.is_retracted), one.conversion_id


def _worded(one: Outcome) -> str:
    if one.is_retracted:
        return f"{one.milestone} retracted {one.settled_at:%Y-%m-%d}"
    if one.state in _DATED:
        return f"{one.milestone} {one.state} {one.settled_at:%Y-%m-%d}"
    why = one.code if one.code is not None and _CODE.fullmatch(one.code) else one.reason
    return f"{one.milestone} {one.state} ({why})"


def _cut(parts: list[str], longest: int) -> str:
    """Whole parts, as many as fit."""
    text = "; ".join(parts)
    while len(text) > longest and len(parts) > 1:
        parts = parts[:-1]
        text = "; ".join(parts) + _MORE
    return text[:longest]
