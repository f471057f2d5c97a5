"""The simulated company: what its users, imports and automations do to a Pipedrive account, as a Python API."""

import random
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from connectors.simulators.disorder import Disorder
from connectors.simulators.pipedrive import edits
from connectors.simulators.pipedrive.catalogue import (
    FIELD_TYPES,
    Currency,
    Field,
    Label,
    Option,
    Pipeline,
    User,
    default_catalogue,
)
from connectors.simulators.pipedrive.instants import millis
from connectors.simulators.pipedrive.limits import Limits, Plan
from connectors.simulators.pipedrive.merging import merge
from connectors.simulators.pipedrive.rows import Deal, Kind, Lead, Organization, Person, Row
from connectors.simulators.pipedrive.store import Moment, Store
from connectors.simulators.pipedrive.tokens import OAuthApp, Tokens
from connectors.simulators.pipedrive.webhooks import Webhook, WebhookRequest, Webhooks
from connectors.simulators.pipedrive.writer import Writer

DEFAULT_SCOPES = frozenset(
    [
        "base",
        "deals:read",
        "deals:full",
        "contacts:read",
        "contacts:full",
        "leads:read",
        "leads:full",
        "recents:read",
        "users:read",
        "admin",
    ]
)
RowId = int | str
Fields = Mapping[str, object]


@dataclass(eq=False)
class Company:
    """One account. Ids are ints, a lead's id is a UUID as text; field names are the API v2's.

    The account's own ways: `has_leads_updated_since` (the young filter of leads), `has_nested_paging` (where leads tell about
    the next page), `shows_nulls` (empty values as null or left out), `marks_deleted` (a deleted deal's status),
    `has_marketing` (the app that knows marketing_status), `gone_status` (404 or 410 after 30 days).
    `requests` and `tokens_spent` count by endpoint, for instance "GET v2/deals".
    """

    company_id: int = 7_104_235
    name: str = "Northwind Ltd"
    domain: str = "northwind"
    currency: str = "EUR"
    time_zone: str = "Europe/Berlin"
    tokens: tuple[str, ...] = ("5f9b0c1e7a3d42868fd1b0a92c6e4d7358a1f0c2",)
    scopes: frozenset[str] = DEFAULT_SCOPES
    oauth: OAuthApp | None = None
    plan: Plan = Plan.LITE
    seats: int = 1
    has_limits: bool = True
    has_leads_updated_since: bool = True
    has_nested_paging: bool = True
    shows_nulls: bool = True
    marks_deleted: bool = True
    has_marketing: bool = True
    gone_status: int = 404
    is_paid: bool = True
    seed: int = 0
    requests: Counter[str] = field(default_factory=Counter, init=False)
    tokens_spent: Counter[str] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        self.catalogue = default_catalogue(self.currency)
        self.admin = self.add_user("Ada Admin", "ada@northwind.example", is_admin=True)
        self.zone = ZoneInfo(self.time_zone)
        self.access = Tokens(dict.fromkeys(self.tokens, self.admin), self.oauth, self.admin, self.scopes, f"https://{self.host}")
        self.limits = Limits(self.plan, self.seats)
        self.webhooks = Webhooks(self.company_id, self.host, self.seed)
        self.writer = Writer(self.catalogue, self.zone, marks_deleted=self.marks_deleted)
        self.store = Store(self.catalogue, self.writer, self.webhooks, self.admin)
        self._random = random.Random(self.seed)
        self.conversions: dict[str, tuple[str, int]] = {}

    @property
    def host(self) -> str:
        """The company's own host."""
        return f"{self.domain}.pipedrive.com"

    def create_deal(
        self, fields: Fields, at: datetime, *, source: str = "app", visible_at: datetime | None = None, deal_id: int | None = None
    ) -> int:
        """Make a deal, in the first stage of its pipeline unless told otherwise; a won or lost one gets its times."""
        at_ms = millis(at)
        plain, custom = edits.split("deal", Deal, fields, self.catalogue)
        pipeline = plain.get("pipeline_id") or next(iter(self.catalogue.pipelines))
        stage = plain.get("stage_id") or self.catalogue.stages_of(int(str(pipeline)))[0].id
        deal = Deal(
            id=deal_id or self.store.next_id(Kind.DEAL),
            add_time=at_ms,
            update_time=at_ms,
            owner_id=self.admin,
            creator_user_id=self.admin,
            currency=self.currency,
        )
        edits.apply(deal, edits.with_consequences(deal, {**plain, "stage_id": stage}, at_ms, self.catalogue), custom)
        deal.stage_change_time = None
        deal.update_time = max(at_ms, deal.add_time)
        self.store.put(deal, source, visible_at)
        return deal.id

    def create_person(
        self,
        fields: Fields,
        at: datetime,
        *,
        source: str = "app",
        visible_at: datetime | None = None,
        person_id: int | None = None,
    ) -> int:
        """Make a person; `emails` and `phones` take the API's lists or one text."""
        plain, custom = edits.split("person", Person, fields, self.catalogue)
        at_ms = millis(at)
        person = Person(id=person_id or self.store.next_id(Kind.PERSON), add_time=at_ms, update_time=at_ms, owner_id=self.admin)
        edits.apply(person, {**_names(str(plain.get("name", ""))), **plain}, custom)
        self.store.put(person, source, visible_at)
        return person.id

    def create_organization(self, fields: Fields, at: datetime, *, source: str = "app") -> int:
        """Make an organization."""
        plain, custom = edits.split("organization", Organization, fields, self.catalogue)
        number, at_ms = self.store.next_id(Kind.ORGANIZATION), millis(at)
        organization = Organization(id=number, add_time=at_ms, update_time=at_ms, owner_id=self.admin)
        edits.apply(organization, plain, custom)
        self.store.put(organization, source)
        return organization.id

    def create_lead(self, fields: Fields, at: datetime, *, source: str = "app", visible_at: datetime | None = None) -> str:
        """Make a lead in the inbox; its id is a UUID."""
        plain, custom = edits.split("lead", Lead, fields, self.catalogue)
        number, at_ms, name = self.store.next_id(Kind.LEAD), millis(at), self._uuid()
        lead = Lead(id=number, uuid=name, add_time=at_ms, update_time=at_ms, owner_id=self.admin, creator_id=self.admin)
        edits.apply(lead, plain, custom)
        self.store.put(lead, source, visible_at)
        return name

    def update(
        self,
        kind: str,
        row_id: RowId,
        fields: Fields,
        at: datetime,
        *,
        source: str = "app",
        is_bulk: bool = False,
        visible_at: datetime | None = None,
    ) -> bool:
        """Write fields and say whether anything changed. Given `visible_at`, readers see it late, with `at` as its time."""
        row = self.row(kind, row_id)
        plain, custom = edits.split(kind, type(row), fields, self.catalogue)
        if isinstance(row, Deal):
            plain = edits.with_consequences(row, plain, millis(at), self.catalogue)
        elif isinstance(row, Person) and "name" in plain:
            plain = {**_names(str(plain["name"])), **plain}
        return self.store.write(row, (plain, custom), Moment(at, source, is_bulk=is_bulk, visible_at=visible_at))

    def update_many(self, kind: str, row_ids: Sequence[RowId], fields: Fields, at: datetime) -> None:
        """A bulk edit of the list view: one event each, marked as bulk."""
        for row_id in row_ids:
            self.update(kind, row_id, fields, at, is_bulk=True)

    def touch(self, kind: str, row_id: RowId, at: datetime) -> None:
        """Move the update time without any change to see, as an activity's counter does."""
        self.store.touch(self.row(kind, row_id), millis(at))

    def move(self, deal: int, stage_id: int, at: datetime, *, source: str = "app", visible_at: datetime | None = None) -> None:
        """Move a deal to a stage (and so to its pipeline)."""
        self.update("deal", deal, {"stage_id": stage_id}, at, source=source, visible_at=visible_at)

    def win(self, deal: int, at: datetime, won_time: datetime | None = None, *, visible_at: datetime | None = None) -> None:
        """Mark a deal as won, now or (by import or API) at an earlier time."""
        times = {"won_time": won_time} if won_time else {}
        self.update("deal", deal, {"status": "won", **times}, at, visible_at=visible_at)

    def lose(self, deal: int, at: datetime, reason: str | None = None, *, visible_at: datetime | None = None) -> None:
        """Mark a deal as lost."""
        reasons = {"lost_reason": reason} if reason else {}
        self.update("deal", deal, {"status": "lost", **reasons}, at, visible_at=visible_at)

    def reopen(self, deal: int, at: datetime) -> None:
        """Open a won or lost deal again."""
        self.update("deal", deal, {"status": "open"}, at)

    def archive(self, kind: str, row_id: RowId, at: datetime) -> None:
        """Archive a deal or lead: it leaves the plain list for the archived one."""
        self.update(kind, row_id, {"is_archived": True}, at)

    def unarchive(self, kind: str, row_id: RowId, at: datetime) -> None:
        """Take a deal or lead out of the archive."""
        self.update(kind, row_id, {"is_archived": False}, at)

    def delete(self, kind: str, row_id: RowId, at: datetime) -> None:
        """Delete softly: for 30 days deals show under their deleted status, then the id answers no more."""
        self.store.delete(self.row(kind, row_id), at)

    def restore(self, kind: str, row_id: RowId, at: datetime) -> None:
        """Bring a deleted row back, as within its 30 days."""
        self.store.restore(self.row(kind, row_id, is_deleted=True), at)

    def merge(self, kind: str, winner: RowId, loser: RowId, at: datetime) -> None:
        """Merge two rows: the loser is deleted, the winner takes what it lacks and the loser's deals and leads."""
        merge(self.store, self.row(kind, winner), self.row(kind, loser), at)

    def convert_lead(
        self, lead: str, at: datetime, *, pipeline_id: int | None = None, stage_id: int | None = None, source: str = "app"
    ) -> int:
        """Convert a lead to a deal, which knows it as its source; the lead counts as deleted."""
        row = self.row("lead", lead)
        if not isinstance(row, Lead):
            raise TypeError(lead)
        money = row.value or {}
        fields: dict[str, object] = {
            "title": row.title,
            "person_id": row.person_id,
            "org_id": row.organization_id,
            "owner_id": row.owner_id,
            "value": money.get("amount", 0),
            "currency": money.get("currency", self.currency),
            "channel": row.channel,
            "channel_id": row.channel_id,
            "origin": row.origin,
            "origin_id": row.origin_id,
            "source_lead_id": lead,
            "custom_fields": dict(row.custom),
        }
        fields |= {name: value for name, value in (("pipeline_id", pipeline_id), ("stage_id", stage_id)) if value}
        deal = self.create_deal(fields, at, source=source)
        self.delete("lead", lead, at)
        return deal

    def start_conversion(self, lead: str, at: datetime, pipeline_id: int | None, stage_id: int | None) -> str:
        """What the API's conversion job does; it is done at once."""
        name = self._uuid()
        self.conversions[name] = (lead, self.convert_lead(lead, at, pipeline_id=pipeline_id, stage_id=stage_id, source="api"))
        return name

    def add_participant(self, deal: int, person: int, at: datetime) -> None:
        """Add a further person to a deal."""
        row = self.row("deal", deal)
        if isinstance(row, Deal):
            self.update("deal", deal, {"participants": (*row.participants, person)}, at)

    def define_field(self, kind: str, name: str, field_type: str = "varchar", options: Sequence[str] = ()) -> str:
        """Make a custom field and give its code; options get ids in turn, as the setup shows them."""
        if field_type not in FIELD_TYPES:
            raise ValueError(f"{field_type} is no type of a custom field")
        code = f"{self._random.getrandbits(160):040x}"
        first = 1 + sum(len(one.options) for one in self.catalogue.of(kind).values() if one.is_custom)
        choices = tuple(Option(first + number, label) for number, label in enumerate(options))
        self.catalogue.define(kind, Field(code, name, field_type, choices, is_custom=True))
        return code

    def define_pipeline(self, name: str, stages: Sequence[str], chances: Sequence[int] = ()) -> Pipeline:
        """Make a pipeline with stages of these names, each with its chance in percent where given."""
        return self.catalogue.add_pipeline(name, stages, chances)

    def remove_stage(self, stage_id: int) -> None:
        """Remove a stage from the setup: no list shows it, deals and changelogs go on naming it."""
        self.catalogue.removed_stages[stage_id] = self.catalogue.stages.pop(stage_id)

    def define_currency(self, code: str, name: str, decimal_points: int = 0) -> None:
        """Make a custom currency, for instance a unit "users"."""
        self.catalogue.currencies[code] = Currency(900 + len(self.catalogue.currencies), code, name, decimal_points, code, True)

    def define_label(self, name: str, color: str = "green") -> str:
        """Make a label of leads and give its id."""
        label = Label(self._uuid(), name, color)
        self.catalogue.labels[label.id] = label
        return label.id

    def add_user(self, name: str, email: str, *, is_admin: bool = False) -> int:
        """Add a user; one without admin rights sees only what is shared with the whole company or is his own."""
        number = max(self.catalogue.users, default=20_000) + 1
        self.catalogue.users[number] = User(number, name, email, is_admin)
        return number

    def issue_token(self, user_id: int) -> str:
        """A user's API token."""
        token = f"{self._random.getrandbits(160):040x}"
        self.access.api[token] = user_id
        return token

    def subscribe(
        self, url: str, action: str = "*", entity: str = "*", *, at: datetime, login: tuple[str, str] | None = None
    ) -> Webhook:
        """Register a webhook as by the API; `login` is its Basic auth."""
        user, password = login or (None, None)
        fields = {"subscription_url": url, "event_action": action, "event_object": entity, "name": "made by hand"}
        return self.webhooks.add({**fields, "http_auth_user": user, "http_auth_password": password}, self.admin, millis(at))

    def disturb_webhooks(self, disorder: Disorder) -> None:
        """Lose, double and shuffle webhooks from now on."""
        self.webhooks.set_disorder(disorder)

    def drain_webhooks(self, now: datetime) -> list[WebhookRequest]:
        """Every webhook that is due, each event once (but for disorder and retries)."""
        return self.webhooks.drain(now)

    def row(self, kind: str, row_id: RowId, *, is_deleted: bool = False) -> Row:
        """A row that is there (or, as asked, deleted); KeyError otherwise."""
        row = self.store.find(Kind(kind), row_id)
        if row is None or (row.deleted_ms is not None) is not is_deleted:
            raise KeyError(row_id)
        return row

    def sees(self, user_id: int, row: Row) -> bool:
        """Whether a user may see a row; others never learn that it exists."""
        return self.store.sees(user_id, row)

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


def _names(name: str) -> dict[str, object]:
    first, _, last = name.partition(" ")
    return {"first_name": first or None, "last_name": last or None}
