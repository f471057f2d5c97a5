"""Salesforce behind the vocabulary of all CRMs: contacts by a tracked picklist, leads by status, opportunities by stage."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx

from connectors.contract.records import ObjectKind
from connectors.contract.source import WebhookRequest
from connectors.simulators.faults import FaultPlan, FaultyTransport
from connectors.simulators.salesforce import (
    DEFAULT_STAGES,
    DEFAULT_STATUSES,
    ConnectedApp,
    Org,
    Status,
    create_salesforce,
    signed_json,
)
from connectors.simulators.salesforce.faults import day_is_used_up, salesforce_faults
from tests.contract.crm_stage import BASE, HOOK, Ability, Clock, Faults, Step

SECRET = "salesforce-signing-secret"
APP = ConnectedApp("salesforce-consumer-key", "salesforce-consumer-secret")
STAGES = {Step.NEW: "Prospecting", Step.OPPORTUNITY: "Qualification", Step.WON: "Closed Won", Step.LOST: "Closed Lost"}
OBJECTS = {
    ObjectKind.CONTACT: "Contact",
    ObjectKind.DEAL: "Opportunity",
    ObjectKind.LEAD: "Lead",
    ObjectKind.COMPANY: "Account",
}
QUALIFICATION = "Qualification__c"
QUALIFIED, UNQUALIFIED = "Qualified", "Unqualified"


class SalesforceStage:
    """One org. `late_by` is a transaction that is committed so much later than it is stamped."""

    kind = "salesforce"
    abilities = frozenset(
        {Ability.LEADS, Ability.LEAD_HISTORY, Ability.SIGNED_WITH_TIME, Ability.OAUTH, Ability.HISTORY_IS_OPTIONAL}
    )
    secrets = (SECRET,)

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.plan = FaultPlan(1)
        self.org = Org(app=APP, tracked={"Lead": {"Status"}})
        self.account_ref = self.org.org_id
        self.org.set_statuses([*DEFAULT_STATUSES, Status(QUALIFIED)])
        self.org.define_field("Contact", QUALIFICATION, "picklist", choices=(UNQUALIFIED, QUALIFIED))
        self.org.track_history("Contact", QUALIFICATION)
        self._app = create_salesforce(self.org, clock)
        words = salesforce_faults()
        self.faults = Faults(words["expired_token"], words["throttled"], day_is_used_up(), words["unknown_error"], words)
        self._outbox = self.org.subscribe_json(HOOK, SECRET, objects=("Contact", "Lead", "Opportunity"))

    def transport(self) -> httpx.AsyncBaseTransport:
        return FaultyTransport(httpx.ASGITransport(self._app), self.plan)

    def settings(self, *, oauth: bool = False) -> dict[str, str]:
        keys = {"auth": "client_credentials", "client_id": APP.client_id, "client_secret": APP.client_secret}
        return {
            **keys,
            "base_url": BASE,
            "instance_url": "https://acme.my.salesforce.com",
            "currency": "USD",
            "webhook_secrets": SECRET,
        }

    def expire_tokens(self) -> None:
        self.org.sessions.expire()

    def refreshes(self) -> int:
        return self.org.requests["token"]

    def asked(self) -> int:
        return self.org.limits.admitted

    def spent(self) -> int:
        return self.asked()

    def mapping(self) -> dict[str, Any]:
        deal = {"object": "deal", "property": "StageName"}
        return {
            "history": "30d",
            "identity": {"email": ["contact.Email", "lead.Email"]},
            "consent": {"not_required": True, "because": "nothing is sent"},
            "milestones": [
                {
                    "name": "qualified_lead",
                    "when": [
                        {"object": "contact", "property": QUALIFICATION, "enters": [QUALIFIED]},
                        {"object": "lead", "property": "Status", "enters": [QUALIFIED]},
                    ],
                },
                {"name": "opportunity", "when": [{**deal, "enters": [STAGES[Step.OPPORTUNITY]]}]},
                {
                    "name": "closed_revenue",
                    "when": [{**deal, "enters": [STAGES[Step.WON]]}],
                    "value": {"model": "field", "field": "deal.Amount"},
                },
            ],
            "destinations": {},
        }

    def milestone_properties(self) -> Mapping[str, tuple[ObjectKind, str]]:
        return {"qualified_lead": (ObjectKind.CONTACT, QUALIFICATION), "opportunity": (ObjectKind.DEAL, "StageName")}

    def value_of(self, step: Step) -> tuple[str, str]:
        return "StageName", STAGES[step]

    def add_person(self, at: datetime, email: str, *, late_by: timedelta | None = None) -> str:
        fields = {"LastName": "Doe", "Email": email, QUALIFICATION: UNQUALIFIED}
        return self.org.create("Contact", fields, at, visible_at=_later(at, late_by))

    def edit_person(self, person: str, at: datetime, *, late_by: timedelta | None = None) -> None:
        self.org.update("Contact", person, {"LastName": f"Doe {at:%H%M%S}"}, at, visible_at=_later(at, late_by))

    def qualify(self, person: str, at: datetime, *, late_by: timedelta | None = None) -> None:
        self.org.update("Contact", person, {QUALIFICATION: QUALIFIED}, at, visible_at=_later(at, late_by))

    def disqualify(self, person: str, at: datetime) -> None:
        self.org.update("Contact", person, {QUALIFICATION: UNQUALIFIED}, at)

    def add_deal(
        self,
        at: datetime,
        step: Step = Step.NEW,
        *,
        amount: int | None = None,
        person: str | None = None,
        late_by: timedelta | None = None,
    ) -> str:
        fields = {"Name": "Deal", "StageName": STAGES[step], "Amount": amount}
        deal = self.org.create("Opportunity", fields, at, visible_at=_later(at, late_by))
        if person is not None:
            self.org.add_role(deal, person, is_primary=True, at=at, visible_at=_later(at, late_by))
        return deal

    def move(self, deal: str, step: Step, at: datetime, *, late_by: timedelta | None = None) -> None:
        self.org.update("Opportunity", deal, {"StageName": STAGES[step]}, at, visible_at=_later(at, late_by))

    def set_amount(self, deal: str, amount: int, at: datetime) -> None:
        self.org.update("Opportunity", deal, {"Amount": amount}, at)

    def link(self, deal: str, person: str, at: datetime) -> None:
        self.org.add_role(deal, person, at=at)

    def merge_people(self, winner: str, loser: str, at: datetime) -> str:
        self.org.merge("Contact", winner, loser, at)
        return winner

    def merge_deals(self, winner: str, loser: str, at: datetime) -> str:
        raise LookupError("Salesforce does not merge opportunities")

    def delete(self, kind: ObjectKind, ref: str, at: datetime) -> None:
        self.org.delete(OBJECTS[kind], ref, at)

    def restore(self, kind: ObjectKind, ref: str, at: datetime) -> None:
        self.org.undelete(OBJECTS[kind], ref, at)

    def archive_deal(self, deal: str, at: datetime) -> None:
        raise LookupError("Salesforce does not archive opportunities")

    def forget_stage(self, step: Step) -> None:
        self.org.set_stages([one for one in DEFAULT_STAGES if one.name != STAGES[step]])

    def stop_history(self) -> None:
        self.org.track_history("Lead", "Status", is_on=False)
        self.org.track_history("Contact", QUALIFICATION, is_on=False)

    def add_lead(self, at: datetime, email: str) -> str:
        return self.org.create("Lead", {"LastName": "Doe", "Company": "Acme", "Email": email}, at)

    def qualify_lead(self, lead: str, at: datetime) -> None:
        self.org.update("Lead", lead, {"Status": QUALIFIED}, at)

    def convert_lead(self, lead: str, at: datetime) -> tuple[str, str]:
        made = self.org.convert_lead(lead, at, opportunity={"StageName": STAGES[Step.NEW]})
        return made.contact_id, str(made.opportunity_id)

    def webhooks(self) -> Sequence[WebhookRequest]:
        self.org.settle(self.clock())
        return [_request(one.url, one.headers, one.body) for one in self._outbox.drain(self.clock())]

    def again(self, request: WebhookRequest) -> WebhookRequest:
        sent = signed_json(SECRET, HOOK, json.loads(request.body), self.clock())
        return _request(sent.url, sent.headers, sent.body)


def _later(at: datetime, by: timedelta | None) -> datetime | None:
    return None if by is None else at + by


def _request(url: str, headers: Mapping[str, str], body: bytes) -> WebhookRequest:
    return WebhookRequest("POST", url, {name.lower(): value for name, value in headers.items()}, body)
