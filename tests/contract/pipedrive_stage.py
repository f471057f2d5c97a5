"""Pipedrive behind the vocabulary of all CRMs: persons and leads by a custom field, deals by stage and status.

A lead's e-mail address is its person's; a conversion makes a deal of that person.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx

from connectors.contract.records import ObjectKind
from connectors.contract.source import WebhookRequest
from connectors.simulators import pipedrive
from connectors.simulators.faults import FaultPlan, FaultyTransport
from connectors.simulators.pipedrive import Company, OAuthApp, create_pipedrive
from connectors.simulators.pipedrive.faults import day_is_used_up, is_blocked, is_unpaid, pipedrive_faults
from tests.contract.crm_stage import BASE, HOOK, Ability, Clock, Faults, Step

TOKEN = "0f3c5d7e9a1b2c4d6e8f0a2b4c6d8e0f1a3b5c7d"
LOGIN = ("leadloop", "pipedrive-webhook-password")
APP = OAuthApp("pipedrive-app", "pipedrive-app-secret", "pipedrive-refresh-token", is_rotating=True)
KINDS = {ObjectKind.CONTACT: "person", ObjectKind.DEAL: "deal", ObjectKind.LEAD: "lead", ObjectKind.COMPANY: "organization"}
STAGES = {Step.NEW: 1, Step.OPPORTUNITY: 2}


class PipedriveStage:
    """One company."""

    kind = "pipedrive"
    abilities = frozenset({Ability.LEADS, Ability.MERGES_DEALS, Ability.ARCHIVES_DEALS, Ability.OAUTH})
    account_ref = "7104235"
    secrets = (":".join(LOGIN),)

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.plan = FaultPlan(1)
        self.company = Company(tokens=(TOKEN,), oauth=APP, has_limits=False)
        self.of_person = self.company.define_field("person", "Qualification", "enum", ["Open", "Qualified"])
        self.of_lead = self.company.define_field("deal", "Lead qualification", "enum", ["Open", "Qualified"])
        for entity in ("deal", "person", "lead"):
            self.company.subscribe(HOOK, "*", entity, at=clock(), login=LOGIN)
        self._app = create_pipedrive(self.company, clock)
        words = pipedrive_faults()
        more = {**words, "blocked": is_blocked(), "unpaid": is_unpaid()}
        self.faults = Faults(words["expired_token"], words["throttled"], day_is_used_up(), words["unknown_error"], more)

    def transport(self) -> httpx.AsyncBaseTransport:
        return FaultyTransport(httpx.ASGITransport(self._app), self.plan)

    def settings(self, *, oauth: bool = False) -> dict[str, str]:
        who = {"api_token": TOKEN}
        if oauth:
            who = {"client_id": APP.client_id, "client_secret": APP.client_secret, "refresh_token": APP.refresh_token}
        return {**who, "base_url": BASE, "webhook_secrets": self.secrets[0]}

    def expire_tokens(self) -> None:
        self.company.access.expire(self.clock())

    def refreshes(self) -> int:
        return self.company.access.exchanges

    def asked(self) -> int:
        return self.company.requests.total() - self.company.requests["POST oauth/token"]

    def spent(self) -> int:
        return self.company.tokens_spent.total()

    def mapping(self) -> dict[str, Any]:
        return {
            "history": "30d",
            "identity": {"email": ["contact.email"]},
            "consent": {"not_required": True, "because": "nothing is sent"},
            "milestones": [
                {
                    "name": "qualified_lead",
                    "when": [
                        {"object": "contact", "property": self.of_person, "enters": [self._qualified("person")]},
                        {"object": "lead", "property": self.of_lead, "enters": [self._qualified("deal")]},
                    ],
                },
                {
                    "name": "opportunity",
                    "when": [{"object": "deal", "property": "stage_id", "enters": [str(STAGES[Step.OPPORTUNITY])]}],
                },
                {
                    "name": "closed_revenue",
                    "when": [{"object": "deal", "property": "status", "enters": ["won"]}],
                    "value": {"model": "field", "field": "deal.value"},
                },
            ],
            "destinations": {},
        }

    def milestone_properties(self) -> Mapping[str, tuple[ObjectKind, str]]:
        return {"qualified_lead": (ObjectKind.CONTACT, self.of_person), "opportunity": (ObjectKind.DEAL, "stage_id")}

    def value_of(self, step: Step) -> tuple[str, str]:
        return ("stage_id", str(STAGES[step])) if step in STAGES else ("status", step.value)

    def add_person(self, at: datetime, email: str, *, late_by: timedelta | None = None) -> str:
        fields = {"name": "Jane Doe", "emails": email, self.of_person: 1}
        return str(self.company.create_person(fields, at, visible_at=_later(at, late_by)))

    def edit_person(self, person: str, at: datetime, *, late_by: timedelta | None = None) -> None:
        self.company.update("person", int(person), {"name": f"Jane Doe {at:%H%M%S}"}, at, visible_at=_later(at, late_by))

    def qualify(self, person: str, at: datetime, *, late_by: timedelta | None = None) -> None:
        self.company.update("person", int(person), {self.of_person: 2}, at, visible_at=_later(at, late_by))

    def disqualify(self, person: str, at: datetime) -> None:
        self.company.update("person", int(person), {self.of_person: 1}, at)

    def add_deal(
        self,
        at: datetime,
        step: Step = Step.NEW,
        *,
        amount: int | None = None,
        person: str | None = None,
        late_by: timedelta | None = None,
    ) -> str:
        fields: dict[str, object] = {"title": "Deal", **_fields_of(step)}
        fields |= {} if amount is None else {"value": amount}
        fields |= {} if person is None else {"person_id": int(person)}
        return str(self.company.create_deal(fields, at, visible_at=_later(at, late_by)))

    def move(self, deal: str, step: Step, at: datetime, *, late_by: timedelta | None = None) -> None:
        self.company.update("deal", int(deal), _fields_of(step), at, visible_at=_later(at, late_by))

    def set_amount(self, deal: str, amount: int, at: datetime) -> None:
        self.company.update("deal", int(deal), {"value": amount}, at)

    def link(self, deal: str, person: str, at: datetime) -> None:
        self.company.update("deal", int(deal), {"person_id": int(person)}, at)

    def merge_people(self, winner: str, loser: str, at: datetime) -> str:
        self.company.merge("person", int(winner), int(loser), at)
        return winner

    def merge_deals(self, winner: str, loser: str, at: datetime) -> str:
        self.company.merge("deal", int(winner), int(loser), at)
        return winner

    def delete(self, kind: ObjectKind, ref: str, at: datetime) -> None:
        self.company.delete(KINDS[kind], _row_id(kind, ref), at)

    def restore(self, kind: ObjectKind, ref: str, at: datetime) -> None:
        self.company.restore(KINDS[kind], _row_id(kind, ref), at)

    def archive_deal(self, deal: str, at: datetime) -> None:
        self.company.archive("deal", int(deal), at)

    def forget_stage(self, step: Step) -> None:
        if step not in STAGES:
            raise LookupError("won and lost are statuses, which nobody can remove")
        self.company.remove_stage(STAGES[step])

    def stop_history(self) -> None:
        raise LookupError("Pipedrive always keeps a changelog of persons and deals")

    def add_lead(self, at: datetime, email: str) -> str:
        person = self.company.create_person({"name": "Jane Lead", "emails": email, self.of_person: 1}, at)
        return self.company.create_lead({"title": "Lead", "person_id": person, self.of_lead: 1}, at)

    def qualify_lead(self, lead: str, at: datetime) -> None:
        self.company.update("lead", lead, {self.of_lead: 2}, at)

    def convert_lead(self, lead: str, at: datetime) -> tuple[str, str]:
        deal = self.company.convert_lead(lead, at)
        row = self.company.row("deal", deal)
        return str(getattr(row, "person_id", "")), str(deal)

    def webhooks(self) -> Sequence[WebhookRequest]:
        return [_request(one) for one in self.company.drain_webhooks(self.clock())]

    def again(self, request: WebhookRequest) -> WebhookRequest:
        return _request(self.company.webhooks.redelivered(request.body))

    def _qualified(self, kind: str) -> str:
        code = self.of_person if kind == "person" else self.of_lead
        return str(self.company.catalogue.of(kind)[code].options[1].id)


def _fields_of(step: Step) -> dict[str, object]:
    """Won and lost leave the stage where it is; a step before opens a closed deal again."""
    return {"stage_id": STAGES[step], "status": "open"} if step in STAGES else {"status": step.value}


def _row_id(kind: ObjectKind, ref: str) -> int | str:
    return ref if kind is ObjectKind.LEAD else int(ref)


def _later(at: datetime, by: timedelta | None) -> datetime | None:
    return None if by is None else at + by


def _request(sent: pipedrive.WebhookRequest) -> WebhookRequest:
    return WebhookRequest(sent.method, sent.url, {name.lower(): value for name, value in sent.headers.items()}, sent.body)
