"""HubSpot behind the vocabulary of all CRMs: contacts by lifecycle stage, deals by deal stage."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx

from connectors.contract.records import ObjectKind
from connectors.contract.source import WebhookRequest
from connectors.simulators.faults import FaultPlan, FaultyTransport
from connectors.simulators.hubspot import OAuthApp, Portal, SignedRequest, Stage, Subscription, create_hubspot
from connectors.simulators.hubspot.faults import day_is_used_up, hubspot_faults
from tests.contract.crm_stage import BASE, HOOK, Ability, Clock, Faults, Step

TOKEN = "pat-na1-5f2f0d8f-0000-4000-8000-0123456789ab"
SECRET = "hubspot-app-client-secret"
APP = OAuthApp("hubspot-app", SECRET, "hubspot-refresh-token")
STAGES = {
    Step.NEW: "appointmentscheduled",
    Step.OPPORTUNITY: "qualifiedtobuy",
    Step.WON: "closedwon",
    Step.LOST: "closedlost",
}
PROBABILITIES = {Step.WON: 1.0, Step.LOST: 0.0}
TYPES = {ObjectKind.CONTACT: "contacts", ObjectKind.DEAL: "deals"}
ASKED = (
    ("contacts", ("lifecyclestage", "email")),
    ("deals", ("dealstage", "amount")),
)


class HubSpotStage:
    """One portal."""

    kind = "hubspot"
    abilities = frozenset({Ability.MERGES_DEALS, Ability.SIGNED_WITH_TIME, Ability.OAUTH})
    account_ref = "62515"
    secrets = (SECRET,)

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.plan = FaultPlan(1)
        self.portal = Portal(tokens=(TOKEN,), oauth=APP, has_limits=False)
        self._app = create_hubspot(self.portal, clock)
        words = hubspot_faults()
        self.faults = Faults(words["expired_token"], words["throttled"], day_is_used_up(), words["unknown_error"], words)
        asked = [
            Subscription(f"object.{event}", name)
            for name, _ in ASKED
            for event in ("creation", "deletion", "merge", "restore", "associationChange")
        ]
        asked += [Subscription("object.propertyChange", name, one) for name, listed in ASKED for one in listed]
        self._outbox = self.portal.subscribe(HOOK, SECRET, asked)

    def transport(self) -> httpx.AsyncBaseTransport:
        return FaultyTransport(httpx.ASGITransport(self._app), self.plan)

    def settings(self, *, oauth: bool = False) -> dict[str, str]:
        who = {"access_token": TOKEN}
        if oauth:
            who = {"client_id": APP.client_id, "client_secret": APP.client_secret, "refresh_token": APP.refresh_token}
        return {**who, "base_url": BASE, "webhook_secrets": SECRET}

    def expire_tokens(self) -> None:
        self.portal.access.expire(self.clock())

    def refreshes(self) -> int:
        return sum(count for name, count in self.portal.requests.items() if name.startswith("oauth"))

    def asked(self) -> int:
        return self.portal.requests.total() - self.refreshes()

    def spent(self) -> int:
        return self.asked()

    def mapping(self) -> dict[str, Any]:
        deal = {"object": "deal", "property": "dealstage", "pipeline": "default"}
        return {
            "history": "30d",
            "identity": {"email": ["contact.email"]},
            "consent": {"not_required": True, "because": "nothing is sent"},
            "milestones": [
                {
                    "name": "qualified_lead",
                    "when": [{"object": "contact", "property": "lifecyclestage", "enters": ["salesqualifiedlead"]}],
                },
                {"name": "opportunity", "when": [{**deal, "enters": [STAGES[Step.OPPORTUNITY]]}]},
                {
                    "name": "closed_revenue",
                    "when": [{**deal, "enters": [STAGES[Step.WON]]}],
                    "value": {"model": "field", "field": "deal.amount"},
                },
            ],
            "destinations": {},
        }

    def milestone_properties(self) -> Mapping[str, tuple[ObjectKind, str]]:
        return {"qualified_lead": (ObjectKind.CONTACT, "lifecyclestage"), "opportunity": (ObjectKind.DEAL, "dealstage")}

    def value_of(self, step: Step) -> tuple[str, str]:
        return "dealstage", STAGES[step]

    def add_person(self, at: datetime, email: str, *, late_by: timedelta | None = None) -> str:
        properties = {"email": email, "lifecyclestage": "lead"}
        return self.portal.create("contacts", properties, at, visible_at=_later(at, late_by))

    def edit_person(self, person: str, at: datetime, *, late_by: timedelta | None = None) -> None:
        self.portal.update("contacts", person, {"lastname": f"Doe {at:%H%M%S}"}, at, visible_at=_later(at, late_by))

    def qualify(self, person: str, at: datetime, *, late_by: timedelta | None = None) -> None:
        properties = {"lifecyclestage": "salesqualifiedlead"}
        self.portal.update("contacts", person, properties, at, visible_at=_later(at, late_by))

    def disqualify(self, person: str, at: datetime) -> None:
        self.portal.update("contacts", person, {"lifecyclestage": "lead"}, at)

    def add_deal(
        self,
        at: datetime,
        step: Step = Step.NEW,
        *,
        amount: int | None = None,
        person: str | None = None,
        late_by: timedelta | None = None,
    ) -> str:
        properties = {"pipeline": "default", "dealstage": STAGES[step]}
        if amount is not None:
            properties["amount"] = str(amount)
        deal = self.portal.create("deals", properties, at, visible_at=_later(at, late_by))
        if person is not None:
            self.portal.associate(deal, person)
        return deal

    def move(self, deal: str, step: Step, at: datetime, *, late_by: timedelta | None = None) -> None:
        self.portal.update("deals", deal, {"dealstage": STAGES[step]}, at, visible_at=_later(at, late_by))

    def set_amount(self, deal: str, amount: int, at: datetime) -> None:
        self.portal.update("deals", deal, {"amount": str(amount)}, at)

    def link(self, deal: str, person: str, at: datetime) -> None:
        self.portal.associate(deal, person, at=at)

    def merge_people(self, winner: str, loser: str, at: datetime) -> str:
        return self.portal.merge("contacts", winner, loser, at)

    def merge_deals(self, winner: str, loser: str, at: datetime) -> str:
        return self.portal.merge("deals", winner, loser, at)

    def delete(self, kind: ObjectKind, ref: str, at: datetime) -> None:
        self.portal.archive(TYPES[kind], ref, at)

    def restore(self, kind: ObjectKind, ref: str, at: datetime) -> None:
        self.portal.restore(TYPES[kind], ref, at)

    def archive_deal(self, deal: str, at: datetime) -> None:
        raise LookupError("HubSpot archives by deleting")

    def forget_stage(self, step: Step) -> None:
        left = [Stage(stage, stage, PROBABILITIES.get(one, 0.5)) for one, stage in STAGES.items() if one is not step]
        self.portal.define_pipeline("deals", "default", left)

    def stop_history(self) -> None:
        raise LookupError("HubSpot always keeps history")

    def qualify_lead(self, lead: str, at: datetime) -> None:
        raise LookupError("HubSpot's leads do not become contacts")

    def add_lead(self, at: datetime, email: str) -> str:
        raise LookupError("HubSpot's leads do not become contacts")

    def convert_lead(self, lead: str, at: datetime) -> tuple[str, str]:
        raise LookupError("HubSpot's leads do not become contacts")

    def webhooks(self) -> Sequence[WebhookRequest]:
        return [_request(one) for one in self._outbox.drain(self.clock())]

    def again(self, request: WebhookRequest) -> WebhookRequest:
        sent = SignedRequest(request.method, request.url, dict(request.headers), request.body)
        return _request(self._outbox.redeliver(sent, self.clock()))


def _later(at: datetime, by: timedelta | None) -> datetime | None:
    return None if by is None else at + by


def _request(sent: SignedRequest) -> WebhookRequest:
    return WebhookRequest(sent.method, sent.url, {name.lower(): value for name, value in sent.headers.items()}, sent.body)
