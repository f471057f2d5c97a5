"""What every simulated CRM offers the tests that all CRMs must pass: one vocabulary for what people do in a CRM."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

import httpx

from connectors.contract.records import ObjectKind
from connectors.contract.source import WebhookRequest
from connectors.simulators.faults import Fault, FaultPlan

BASE = "http://crm.test"
HOOK = "https://leadloop.example/webhooks/crm/token"


class Step(StrEnum):
    """Where a deal stands. OPPORTUNITY is behind NEW, WON and LOST are ends."""

    NEW = "new"
    OPPORTUNITY = "opportunity"
    WON = "won"
    LOST = "lost"


class Ability(StrEnum):
    """What not every CRM has.

    LEADS: lead records that become a contact or a deal. LEAD_HISTORY: it is told exactly when one was qualified.
    HISTORY_IS_OPTIONAL: an administrator decides whether it is kept.
    """

    LEADS = "leads"
    LEAD_HISTORY = "lead_history"
    MERGES_DEALS = "merges_deals"
    ARCHIVES_DEALS = "archives_deals"
    SIGNED_WITH_TIME = "signed_with_time"
    OAUTH = "oauth"
    HISTORY_IS_OPTIONAL = "history_is_optional"


class Clock:
    """An instant that tests move."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def go_on(self, by: timedelta) -> datetime:
        """A whole second, at least so much later."""
        self.at += by
        if self.at.microsecond:
            self.at = self.at.replace(microsecond=0) + timedelta(seconds=1)
        return self.at


@dataclass(frozen=True, slots=True)
class Faults:
    """The vendor's own words for what goes wrong. `daily` parks the connection for long, `throttled` for seconds."""

    expired_token: Fault
    throttled: Fault
    daily: Fault
    refused: Fault
    more: Mapping[str, Fault] = field(default_factory=dict)


class CrmStage(Protocol):
    """A simulated CRM with its people at work.

    Every instant is a whole second and not before the one of the act before. Refs are the CRM's own ids as text. A deal is opened
    without history before `at`; `late_by` lets the CRM show the change so much later (the older modification stays).
    """

    kind: str
    abilities: frozenset[Ability]
    clock: Clock
    plan: FaultPlan
    faults: Faults
    account_ref: str

    def transport(self) -> httpx.AsyncBaseTransport:
        """The CRM as httpx reaches it under BASE, behind `plan`."""
        ...

    def settings(self, *, oauth: bool = False) -> dict[str, str]:
        """A connection's settings as the registry takes them, `base_url` BASE; with tokens that run out where asked."""
        ...

    def expire_tokens(self) -> None:
        """Let every access token run out now; a refresh gives a new one."""
        ...

    def refreshes(self) -> int:
        """How often the token endpoint gave a token."""
        ...

    def asked(self) -> int:
        """Requests of the API so far, token requests apart, as the vendor counts them."""
        ...

    def spent(self) -> int:
        """What those requests cost of the vendor's daily budget, in its own unit (requests; Pipedrive: tokens)."""
        ...

    def mapping(self) -> dict[str, Any]:
        """A mapping document: milestones qualified_lead (person), opportunity and closed_revenue (deal: Step), no targets."""
        ...

    def milestone_properties(self) -> Mapping[str, tuple[ObjectKind, str]]:
        """Kind and property behind `qualified_lead` and `opportunity`."""
        ...

    def value_of(self, step: Step) -> tuple[str, str]:
        """The property and its value of an entry into this step (Pipedrive: won is `status`)."""
        ...

    def add_person(self, at: datetime, email: str, *, late_by: timedelta | None = None) -> str:
        """A contact."""
        ...

    def edit_person(self, person: str, at: datetime, *, late_by: timedelta | None = None) -> None:
        """Something that no milestone reads changes."""
        ...

    def qualify(self, person: str, at: datetime, *, late_by: timedelta | None = None) -> None:
        """The contact comes to be qualified."""
        ...

    def disqualify(self, person: str, at: datetime) -> None:
        """The contact goes back to what it was before."""
        ...

    def add_deal(
        self,
        at: datetime,
        step: Step = Step.NEW,
        *,
        amount: int | None = None,
        person: str | None = None,
        late_by: timedelta | None = None,
    ) -> str:
        """A deal, with a person on it from the start where given."""
        ...

    def move(self, deal: str, step: Step, at: datetime, *, late_by: timedelta | None = None) -> None:
        """The deal comes to a step; a closed one is opened again by NEW or OPPORTUNITY."""
        ...

    def set_amount(self, deal: str, amount: int, at: datetime) -> None:
        """Whole units of the account's currency."""
        ...

    def link(self, deal: str, person: str, at: datetime) -> None:
        """The person comes to be on the deal (Pipedrive: instead of who was)."""
        ...

    def merge_people(self, winner: str, loser: str, at: datetime) -> str:
        """Two contacts become one; the survivor's ref."""
        ...

    def merge_deals(self, winner: str, loser: str, at: datetime) -> str:
        """Where MERGES_DEALS."""
        ...

    def delete(self, kind: ObjectKind, ref: str, at: datetime) -> None:
        """Into the CRM's recycle bin."""
        ...

    def restore(self, kind: ObjectKind, ref: str, at: datetime) -> None:
        """Out of it."""
        ...

    def archive_deal(self, deal: str, at: datetime) -> None:
        """Where ARCHIVES_DEALS: out of the usual lists, not deleted."""
        ...

    def forget_stage(self, step: Step) -> None:
        """An administrator removes the stage; deals stay in it, and histories name it."""
        ...

    def stop_history(self) -> None:
        """Where HISTORY_IS_OPTIONAL: the CRM keeps no history of what qualifies a lead (before any lead was there)."""
        ...

    def add_lead(self, at: datetime, email: str) -> str:
        """Where LEADS: a lead record of the CRM."""
        ...

    def qualify_lead(self, lead: str, at: datetime) -> None:
        """Where LEADS: the lead record comes to be qualified."""
        ...

    def convert_lead(self, lead: str, at: datetime) -> tuple[str, str]:
        """Where LEADS: the lead becomes a contact and a new deal; refs of both."""
        ...

    def webhooks(self) -> Sequence[WebhookRequest]:
        """What the CRM sends to HOOK by now, each once; `secrets` verifies it."""
        ...

    def again(self, request: WebhookRequest) -> WebhookRequest:
        """The same delivery a second time, as the vendor repeats it."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """What the webhook parser is given."""
        ...
