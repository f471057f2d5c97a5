"""The demo's stage: simulated HubSpot, Google and Meta, the clock they share with Leadloop, and the webhooks between them."""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from app.demo.config import ACTIONS, SOURCE, config_text
from app.demo.happenings import Happening, Webhook, What
from app.demo.world import CUSTOM_PROPERTIES, World
from connectors.simulators.faults import Fault, FaultPlan, FaultyTransport
from connectors.simulators.google import (
    Account,
    Click,
    ConversionAction,
    GooglePlatform,
    Person,
    create_google,
)
from connectors.simulators.google.faults import google_faults
from connectors.simulators.hubspot import Outbox, Portal, Subscription, create_hubspot
from connectors.simulators.hubspot.faults import hubspot_faults
from connectors.simulators.meta import Dataset, MetaPlatform, Token, create_meta
from connectors.simulators.meta.faults import meta_faults

ACCOUNT = "4812093377"
DATASET = "812093377481209"
SHARE_OF_FAULTS = 0.01
LATE_BY = timedelta(hours=9)
WEBHOOK_BATCH = 100
_ASKS_A_HUMAN = frozenset({"expired_token"})

_SUBSCRIPTIONS = (
    [
        Subscription(f"object.{kind}", object_type)
        for object_type in ("contacts", "deals")
        for kind in ("creation", "deletion", "merge", "restore")
    ]
    + [
        Subscription("object.propertyChange", object_type, name)
        for object_type, names in {
            "contacts": ("lifecyclestage", "hs_lead_status", "ads_consent", "email", "phone"),
            "deals": ("dealstage", "amount"),
        }.items()
        for name in names
    ]
    + [Subscription("object.associationChange", "deals")]
)


class SimulatedClock:
    """A clock that moves only when it is told to."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The instant it shows."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)


@dataclass(slots=True)
class Post:
    """The webhooks on their way from HubSpot to Leadloop: what is due now, and what comes late."""

    outbox: Outbox
    late: list[tuple[datetime, Mapping[str, object]]] = field(default_factory=list)
    due: list[Mapping[str, object]] = field(default_factory=list)
    fates: Counter[Webhook] = field(default_factory=Counter)

    def take(self, one: Happening) -> None:
        """Let the events of a happening meet their fate."""
        events, self.outbox.events = self.outbox.events, []
        self.fates[one.webhook] += 1
        match one.webhook:
            case Webhook.DELIVERED:
                self.due += events
            case Webhook.DUPLICATED:
                self.due += [*events, *events]
            case Webhook.LATE:
                self.late += [(one.at + LATE_BY, event) for event in events]
            case Webhook.LOST:
                pass

    def collect(self, now: datetime) -> Sequence[Sequence[Mapping[str, object]]]:
        """Everything that arrives now, in batches as HubSpot sends them."""
        self.due += [event for at, event in self.late if at <= now]
        self.late = [(at, event) for at, event in self.late if at > now]
        due, self.due = self.due, []
        return [due[start : start + WEBHOOK_BATCH] for start in range(0, len(due), WEBHOOK_BATCH)]


@dataclass(slots=True)
class Stage:
    """The simulators with the clock that they and Leadloop share. `ids` are the CRM's ids by the world's keys."""

    world: World
    clock: SimulatedClock
    portal: Portal
    google: GooglePlatform
    meta: MetaPlatform
    post: Post
    plans: Mapping[str, FaultPlan]
    secrets: Mapping[str, str] = field(repr=False)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def http(self) -> httpx.AsyncClient:
        """A client whose hosts are the simulators, with faults on the way."""
        apps = {
            "hubspot": create_hubspot(self.portal, self.clock),
            "google": create_google(self.google, self.clock),
            "meta": create_meta(self.meta, self.clock),
        }
        mounts = {
            f"http://{name}.demo": FaultyTransport(httpx.ASGITransport(app), self.plans[name]) for name, app in apps.items()
        }
        return httpx.AsyncClient(mounts=mounts, follow_redirects=False)

    def happen(self, one: Happening) -> None:
        """Let one thing happen in the CRM; its webhook meets its fate."""
        match one.what:
            case What.CREATE:
                self.ids[one.key] = self.portal.create(one.kind, dict(one.properties), one.at)
            case What.UPDATE:
                self.portal.update(one.kind, self.ids[one.key], dict(one.properties), one.at)
            case What.ASSOCIATE:
                self.portal.associate(self.ids[one.key], self.ids[one.other], one.label or None, at=one.at)
            case What.MERGE:
                kept, gone, is_new = self.ids[one.key], self.ids[one.other], bool(one.new_key)
                self.ids[one.new_key or one.key] = self.portal.merge(one.kind, kept, gone, one.at, new_id=is_new)
            case What.DELETE:
                self.portal.archive(one.kind, self.ids[one.key], one.at)
        self.post.take(one)

    def config(self, destinations: Sequence[str], start: datetime, **instead: str) -> str:
        """Leadloop's config file for this stage; `instead` are other secrets than the stage's own."""
        known = {**self.secrets, **instead}
        settings = {
            "google": f'account_id: "{ACCOUNT}", access_token: "{known["google"]}"',
            "meta": f'dataset_id: "{DATASET}", access_token: "{known["meta"]}"',
        }
        hubspot = f'access_token: "{known["hubspot"]}", webhook_secrets: "{known["webhook"]}"'
        return config_text(
            start=start,
            source=_section(SOURCE, hubspot),
            destinations={name: _section(name, settings[name]) for name in destinations},
        )


def _section(kind: str, settings: str) -> str:
    return f'{{kind: {kind}, {settings}, base_url: "http://{kind}.demo"}}'


def set_stage(world: World, *, seed: int, share_of_faults: float = SHARE_OF_FAULTS) -> Stage:
    """Simulators for the world, with the clock at its beginning."""
    tokens = {name: secrets.token_hex(24) for name in ("google", "meta", "webhook")}
    tokens["hubspot"] = f"pat-na1-{secrets.token_hex(16)}"
    portal = Portal(tokens=(tokens["hubspot"],), has_limits=False)
    for kind, names in CUSTOM_PROPERTIES.items():
        for name in names:
            portal.define_property(kind, name)
    known = {"hubspot": hubspot_faults(), "google": google_faults(), "meta": meta_faults()}
    plans = {name: _storm(seed + place, share_of_faults, faults) for place, (name, faults) in enumerate(known.items())}
    return Stage(
        world=world,
        clock=SimulatedClock(world.begins_at),
        portal=portal,
        google=_google(world, tokens["google"], seed),
        meta=_meta(world, tokens["meta"], seed),
        post=Post(portal.subscribe("http://leadloop.demo", tokens["webhook"], _SUBSCRIPTIONS)),
        plans=plans,
        secrets=tokens,
    )


def _storm(seed: int, share: float, faults: Mapping[str, Fault]) -> FaultPlan:
    return FaultPlan.mixed(seed, share, [fault for name, fault in faults.items() if name not in _ASKS_A_HUMAN])


def _google(world: World, token: str, seed: int) -> GooglePlatform:
    made = world.begins_at - timedelta(days=30)
    account = Account(ACCOUNT, {action: ConversionAction(action, made) for action in ACTIONS.values()})
    google = GooglePlatform((account,), seed=seed)
    google.add_token(token, frozenset({ACCOUNT}), world.ends_at + timedelta(days=60))
    google.add_clicks(*(Click(click.id, ACCOUNT, click.at) for click in world.google_clicks.values()))
    google.add_people(*(Person(one.digests, ACCOUNT, one.clicked_at) for one in world.known_to_google))
    return google


def _meta(world: World, token: str, seed: int) -> MetaPlatform:
    meta = MetaPlatform((Dataset(DATASET, is_consolidated_container=True),), seed=seed)
    meta.add_token(Token(token, frozenset({DATASET})))
    meta.leads.update({click.id: click.at for click in world.meta_leads.values()})
    return meta
