"""The contract with an ad platform: limits as data, check, upload; optional abilities are protocols of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Literal, Protocol, runtime_checkable

from connectors.contract.conversions import Identifier, Target, UploadRow
from connectors.contract.findings import Finding
from connectors.contract.results import UploadResult, VerdictReply
from connectors.contract.versions import ApiVersion

FOREVER = timedelta(days=36500)


@dataclass(frozen=True, slots=True)
class DestinationLimits:
    """A platform's limits, as data.

    `rows`: the most in one request; `targets`: distinct targets in one request. `requests_per_minute`: what the platform grants.
    `age_with_click`: the oldest event taken when one of `age_identifiers` (None: of `click_identifiers`) is there;
    `age_without_click` else.
    `click_age`: the oldest click (None: as `age_with_click`).
    `too_recent_click`: how old a click must be. `dedup_window`: inside it a second upload under the same id is not counted
    twice (None: unproven). `unproven_repeats`: how often a try of unknown effect is sent again where there is no such window.
    `verdict_after`: first question for the late verdict.
    `identifiers`: what it takes; `click_identifiers`: those that name the click or the platform's own lead.
    `sufficient`: a row needs one of these sets, each complete. `apart`: rows with one of these never share a request with rows
    that have none of them. `restates` / `retracts`: can it take corrections, from `correction_after` to `correction_within` the
    event; one that the connection's grant does not allow comes back as `Unsupported`.
    `send_when`: what a mapping that says nothing asks of a person here: any identifier, or this platform's own click or lead id.
    """

    rows: int
    age_with_click: timedelta
    age_without_click: timedelta
    identifiers: frozenset[Identifier]
    click_identifiers: frozenset[Identifier]
    sufficient: tuple[frozenset[Identifier], ...]
    targets: int = 1
    requests_per_minute: int | None = None
    age_identifiers: frozenset[Identifier] | None = None
    apart: frozenset[Identifier] = frozenset()
    click_age: timedelta | None = None
    too_recent_click: timedelta = timedelta(0)
    dedup_window: timedelta | None = None
    unproven_repeats: int = 0
    verdict_after: timedelta | None = None
    restates: bool = False
    retracts: bool = False
    correction_after: timedelta = timedelta(0)
    correction_within: timedelta = timedelta(0)
    needs_value: bool = False
    target_settings: frozenset[str] = field(default_factory=frozenset)
    send_when: Literal["any", "own_click_or_lead_id"] = "any"

    @property
    def longest_age(self) -> timedelta:
        """Until when after its event a row may be taken at all, whatever its identifiers."""
        return max(self.age_with_click, self.age_without_click)


class AdDestination(Protocol):
    """One ad account. The call failed: a ConnectorError. The call worked: exactly one result for each row, in order."""

    kind: ClassVar[str]
    limits: ClassVar[DestinationLimits]

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """Prove token, account and each milestone's target without counting a conversion (targets by milestone)."""
        ...

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Send conversions in one request (none at all where nothing valid is left) and say what became of each."""
        ...

    def api_versions(self) -> Sequence[ApiVersion]:
        """The versions of the platform's APIs that this connection uses, by its settings."""
        ...


@runtime_checkable
class Adjusts(Protocol):
    """Takes corrections, where `limits` say which."""

    async def adjust(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Send restatements, or retractions (never both), in one request, and say what became of each.

        Each row is its upload as it was sent (instant, identifiers, target), with the new money of a restatement.
        """
        ...


@runtime_checkable
class KnowsByContent(Protocol):
    """Has no field for our id: it takes rows of equal content for one conversion and drops all but the first."""

    content_step: ClassVar[timedelta]

    def content_key(self, row: UploadRow) -> str:
        """What makes rows one conversion there, with the instant cut to `content_step`; personal data, so never stored as it is.

        A row whose key is taken is moved on by `content_step` until its key is free, once, before its first try.
        """
        ...


@runtime_checkable
class SendsTestEvents(Protocol):
    """Can be sent an event that the platform shows to a person and does not count."""

    async def send_test_event(self, code: str, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """Send one made-up event of nobody's for each target under the platform's test code; a refusal is a finding."""
        ...


@runtime_checkable
class Confirms(Protocol):
    """Has a late verdict for a receipt."""

    async def verdict(self, receipt: str, sent: int, now: datetime) -> VerdictReply:
        """What became of the `sent` rows accepted under this receipt. Raises ConnectorError where the call failed."""
        ...
