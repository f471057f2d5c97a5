"""The contract with an ad platform: limits as data, check, upload; optional abilities are protocols of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Literal, Protocol, runtime_checkable

from connectors.contract.conversions import Identifier, Target, UploadRow
from connectors.contract.findings import Finding
from connectors.contract.results import UploadResult, VerdictReply

FOREVER = timedelta(days=36500)


@dataclass(frozen=True, slots=True)
class DestinationLimits:
    """A platform's limits, as data.

    `rows`: the most in one request; `usual_rows`: what we send by default; `targets`: distinct targets in one request.
    `age_with_click`: the oldest event taken when a click id or platform lead id is there; `age_without_click` else.
    `click_age`: the oldest click (None: as `age_with_click`).
    `too_recent_click`: how old a click must be. `dedup_window`: inside it a second upload under the same id is not counted
    twice (None: unproven, so a try of unknown effect is never repeated). `verdict_after`: first question for the late verdict.
    `identifiers`: what it takes; `click_identifiers`: those that name the click or the platform's own lead.
    `sufficient`: a row needs one of these sets, each complete. `restates` / `retracts`: can it take corrections.
    `send_when`: what a mapping that says nothing asks of a person here: any identifier, or this platform's own click or lead id.
    """

    rows: int
    usual_rows: int
    age_with_click: timedelta
    age_without_click: timedelta
    identifiers: frozenset[Identifier]
    click_identifiers: frozenset[Identifier]
    sufficient: tuple[frozenset[Identifier], ...]
    targets: int = 1
    click_age: timedelta | None = None
    too_recent_click: timedelta = timedelta(0)
    dedup_window: timedelta | None = None
    verdict_after: timedelta | None = None
    restates: bool = False
    retracts: bool = False
    correction_after: timedelta = timedelta(0)
    correction_within: timedelta = timedelta(0)
    needs_value: bool = False
    target_settings: frozenset[str] = field(default_factory=frozenset)
    send_when: Literal["any", "own_click_or_lead_id"] = "any"


class AdDestination(Protocol):
    """One ad account. The call failed: a ConnectorError. The call worked: exactly one result for each row, in order."""

    kind: ClassVar[str]
    limits: ClassVar[DestinationLimits]

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """Prove token, account and each milestone's target without counting a conversion (targets by milestone)."""
        ...

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Send the rows in one request (none at all where nothing valid is left) and say what became of each."""
        ...


@runtime_checkable
class Confirms(Protocol):
    """Has a late verdict for a receipt."""

    async def verdict(self, receipt: str, sent: int, now: datetime) -> VerdictReply:
        """What became of the `sent` rows accepted under this receipt. Raises ConnectorError where the call failed."""
        ...
