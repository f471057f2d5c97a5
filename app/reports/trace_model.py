"""What a trace says: everything stored about one lead, without a single personal value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.mapping.conditions import Check
from connectors.contract.conversions import Consent, Identifier, Money


@dataclass(frozen=True, slots=True)
class KeyTrace:
    """A record of the lead, or a deal it is on. `labels`: what the lead is on that deal; `url`: its page in the CRM.

    `company_url` is the page of its company.
    """

    ref: str
    state: str
    merged_into: str | None
    pipeline: str | None
    stage: str | None
    stage_label: str | None
    company: str | None
    labels: tuple[str, ...]
    is_primary: bool
    created_at: datetime | None
    modified_at: datetime
    url: str | None
    company_url: str | None = None


@dataclass(frozen=True, slots=True)
class LeadTrace:
    """The person: which identifiers are there (never their values), consent with its why, the frozen attribution."""

    id: int
    created_at: datetime
    identifiers: tuple[Identifier, ...]
    consent: Consent
    consent_why: str
    country: str | None
    clicked_at: datetime | None
    platform: str | None
    campaign_id: str | None
    utm_campaign: str | None
    dimensions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EntryTrace:
    """A property took a value, and who told us: the CRM's history, a webhook, or a difference that a poll observed."""

    ref: str
    property: str
    value: str
    label: str | None
    pipeline: str | None
    entered_at: datetime
    origin: str
    is_approximate: bool


@dataclass(frozen=True, slots=True)
class ValuationTrace:
    """One value of a conversion over time."""

    seq: int
    money: Money | None
    why: str
    rates_version: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class TryTrace:
    """One attempt that was not simply accepted."""

    n: int
    at: datetime
    outcome: str
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class NextStep:
    """What happens next, and when where that is known."""

    what: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeliveryTrace:
    """A conversion owed to a destination: its state, the reason as code and sentence, its tries.

    `person` is who was chosen for it (`contact:123`, or `lead 42`). `checks`: the comparisons of the condition that excludes it,
    as they are now.
    """

    id: int
    destination: str
    kind: str
    seq: int
    state: str
    reason: str
    sentence: str
    checks: tuple[Check, ...]
    code: str | None
    target: str
    try_count: int
    tries: tuple[TryTrace, ...]
    person: str | None
    person_why: str | None
    is_frozen: bool
    sent: Money | None
    created_at: datetime
    deadline_at: datetime
    settled_at: datetime | None
    next_step: NextStep | None


@dataclass(frozen=True, slots=True)
class AccountTrace:
    """What a lead is worth, where its conversions share that; `told` and `overstated` by destination.

    What a platform was told of counts as it will be once the corrections that are under way are made; `overstated` (None: told
    in another currency) is what it was told beyond the worth and cannot be corrected.
    """

    worth: Money
    told: Mapping[str, tuple[Money, ...]]
    overstated: Mapping[str, Money | None]


@dataclass(frozen=True, slots=True)
class ConversionTrace:
    """A milestone reached, with its value and deliveries. `scope` is what it is counted once for.

    `nominal`: its own value, where `money` is its share of what the lead is worth.
    """

    uid: str
    milestone: str
    scope: str
    occurrence: int
    ref: str | None
    lead_id: int | None
    occurred_at: datetime
    is_implied: bool
    is_live: bool
    mapping_version: int
    explain: str
    money: Money | None
    nominal: Money | None
    value_state: str
    value_why: str
    valuations: tuple[ValuationTrace, ...]
    duplicate_of: str | None
    ended_at: datetime | None
    ended_why: str | None
    ended_sentence: str | None
    deliveries: tuple[DeliveryTrace, ...]


@dataclass(frozen=True, slots=True)
class UnreachedTrace:
    """A milestone of the active mapping without a conversion: why, as code and sentence, and the comparisons of its condition.

    `ref`, `entered_at`: the entry that came nearest; `detail`: what it was, or what was waited for.
    """

    milestone: str
    code: str
    sentence: str
    ref: str | None
    entered_at: datetime | None
    detail: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class AnswerTrace:
    """What became of this lead at one destination, in a line."""

    destination: str
    line: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything about one lead; `lead` is None for a deal without people or a company.

    `account` is there where the mapping's values are shares of what a lead is worth.
    """

    source: str
    source_kind: str
    lead: LeadTrace | None
    answers: tuple[AnswerTrace, ...] = ()
    keys: tuple[KeyTrace, ...] = ()
    entries: tuple[EntryTrace, ...] = ()
    conversions: tuple[ConversionTrace, ...] = ()
    unreached: tuple[UnreachedTrace, ...] = ()
    account: AccountTrace | None = None
