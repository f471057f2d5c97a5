"""The simulated portal: what a customer, his tools and his workflows do to a HubSpot account, as a Python API."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectors.simulators.disorder import Disorder
from connectors.simulators.hubspot.associations import Associations
from connectors.simulators.hubspot.catalogue import (
    DEFAULT_SCOPES,
    OBJECT_TYPES,
    ObjectType,
    Option,
    Pipeline,
    Property,
    Stage,
    default_pipelines,
    default_properties,
    labelled,
    object_type_of,
)
from connectors.simulators.hubspot.instants import millis, parse_millis
from connectors.simulators.hubspot.limits import Limits, Tier
from connectors.simulators.hubspot.records import Change, StoredRecord, Values, Version
from connectors.simulators.hubspot.shelf import Shelf
from connectors.simulators.hubspot.tokens import OAuthApp, Tokens
from connectors.simulators.hubspot.values import ValueReader
from connectors.simulators.hubspot.webhooks import Outbox, SignedRequest, Subscription, WebhookEvent

FIRST_ID = 20_000_000_001  # beyond 32 bits, as HubSpot's own ids are
IndexLag = Callable[[str, str, datetime], timedelta]


@dataclass(frozen=True, slots=True)
class Owner:
    """A user of the account to whom records belong."""

    id: str
    email: str
    first_name: str
    last_name: str
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A validation rule of an admin: where `when` holds `value`, a record needs `needed`. Only writes by API are judged."""

    object_type: str
    needed: str
    when: str
    value: str


@dataclass(eq=False)
class Portal:
    """One account. Object types are named by plural, singular or type id; record ids are text.

    `index_lag(object_type, id, at)` says how much later than `at` search shows a change. `requests` counts calls by endpoint,
    for instance "search deals", "batch_read contacts", "associations deals/contacts".
    """

    portal_id: int = 62515
    currency: str = "USD"
    additional_currencies: tuple[str, ...] = ()
    time_zone: str = "America/New_York"
    tokens: tuple[str, ...] = ("pat-na1-11111111-2222-4333-8444-555555555555",)
    scopes: frozenset[str] = DEFAULT_SCOPES
    tier: Tier = Tier.PROFESSIONAL
    oauth: OAuthApp | None = None
    has_leads: bool = False
    has_limits: bool = True
    association_page: int = 500
    index_lag: IndexLag | None = None
    requests: Counter[str] = field(default_factory=Counter, init=False)
    owners: list[Owner] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.properties = default_properties()
        self.pipelines = default_pipelines()
        self.associations = Associations()
        self.shelves = {name: Shelf(name) for name in OBJECT_TYPES}
        self.values = ValueReader(self.pipelines, lambda *asked: len(self.associated(*asked)))
        self.access = Tokens(self.tokens, self.oauth)
        self.limits = Limits(self.tier, self.time_zone)
        self.outboxes: list[Outbox] = []
        self.rules: list[Rule] = []
        self.groups: set[tuple[str, str]] = set()
        self._next_id = FIRST_ID

    def create(
        self,
        object_type: str,
        properties: Values,
        at: datetime,
        record_id: str | None = None,
        source_type: str = "CRM_UI",
        *,
        modified_at: datetime | None = None,
        visible_at: datetime | None = None,
    ) -> str:
        """Make a record; `visible_at` is when search shows it, where that is not at once."""
        kind = self.kind(object_type)
        values = self._checked(kind, properties)
        if kind.pipeline and not values.get(kind.pipeline):
            values[kind.pipeline] = next(iter(self.pipelines[kind.name]))
        self._check_stage(kind, values)
        at_ms = millis(at)
        number = int(record_id) if record_id else self._new_id()
        if number in self.shelves[kind.name].records:
            raise ValueError(f"{kind.singular} {number} exists already")
        version = Version(1, millis(modified_at or at), values)
        record = StoredRecord(kind.name, number, at_ms, version, [Change(at_ms, source_type, "", values)])
        self.shelves[kind.name].put(record)
        self._show(record, at, visible_at)
        self._tell(WebhookEvent("creation", kind, number, at_ms, source_type))
        self._tell_changes(record, at_ms, source_type, values)
        return str(number)

    def update(
        self,
        object_type: str,
        record_id: str,
        properties: Values,
        at: datetime,
        source_type: str = "CRM_UI",
        *,
        modified_at: datetime | None = None,
        visible_at: datetime | None = None,
    ) -> None:
        """Write properties: history gets an entry each, the cursor property moves to `at` (or to `modified_at`)."""
        kind = self.kind(object_type)
        record = self.record(object_type, record_id)
        values = self._checked(kind, properties)
        if kind.stage in values or kind.pipeline in values:
            self._check_stage(kind, {**record.version.values, **values})
        different = record.apply(Change(millis(at), source_type, "", values), millis(modified_at or at))
        self._show(record, at, visible_at)
        self._tell_changes(record, millis(at), source_type, different)

    def touch(self, object_type: str, record_id: str, at: datetime) -> None:
        """Move the cursor property without any change to see, as HubSpot's own recalculations do."""
        record = self.record(object_type, record_id)
        record.apply(Change(millis(at), "CALCULATED", "", {}), millis(at))
        self._show(record, at, None)

    def associate(
        self,
        deal_id: str,
        contact_id: str,
        label: str | None = None,
        *,
        from_type: str = "deals",
        to_type: str = "contacts",
        at: datetime | None = None,
    ) -> None:
        """Link two records (by default a deal and a contact). Given `at`, the first one's cursor property moves."""
        one, other = self.kind(from_type), self.kind(to_type)
        record, linked = self.record(from_type, deal_id), self.record(to_type, contact_id)
        self.associations.link(one.name, record.id, other.name, linked.id, frozenset({label} if label else ()))
        if at is not None:
            self.touch(from_type, deal_id, at)
            self._tell_association(one, other, (record.id, linked.id), millis(at), is_removed=False)

    def dissociate(
        self, deal_id: str, contact_id: str, *, from_type: str = "deals", to_type: str = "contacts", at: datetime | None = None
    ) -> None:
        """Take a link away."""
        one, other = self.kind(from_type), self.kind(to_type)
        self.associations.unlink(one.name, int(deal_id), other.name, int(contact_id))
        if at is not None:
            self.touch(from_type, deal_id, at)
            self._tell_association(one, other, (int(deal_id), int(contact_id)), millis(at), is_removed=True)

    def archive(self, object_type: str, record_id: str, at: datetime) -> None:
        """Put a record into the recycle bin. The cursor property does not move."""
        record = self.record(object_type, record_id)
        self.shelves[record.object_type].archive(record, millis(at))
        self._tell(WebhookEvent("deletion", self.kind(object_type), record.id, millis(at)))

    def restore(self, object_type: str, record_id: str, at: datetime) -> None:
        """Take a record out of the recycle bin; its cursor property moves."""
        record = self.record(object_type, record_id, is_archived=True)
        self.shelves[record.object_type].restore(record)
        self.touch(object_type, record_id, at)
        self._tell(WebhookEvent("restore", self.kind(object_type), record.id, millis(at)))

    def erase(self, object_type: str, record_id: str, at: datetime) -> None:
        """Delete for good under GDPR: the record answers 404 and is in no list."""
        record = self.record(object_type, record_id)
        self.shelves[record.object_type].remove(record)
        self.associations.move(record.object_type, record.id, None)
        self._tell(WebhookEvent("privacyDeletion", self.kind(object_type), record.id, millis(at)))

    def merge(self, object_type: str, winner: str, loser: str, at: datetime, *, new_id: bool = False) -> str:
        """Merge two records and give the survivor's id: the winner's, or a new one. The other ids answer 404.

        The winner keeps its values and takes the loser's where it has none; histories are joined, and each property that
        the loser held gets an entry from the merge with the value that the survivor holds.
        """
        kind = self.kind(object_type)
        kept, gone = self.record(object_type, winner), self.record(object_type, loser)
        survivor = self._successor(kept) if new_id else kept
        joined = {name: kept.version.values.get(name) or value for name, value in gone.version.values.items()}
        absorbed = [gone] if survivor is kept else [kept, gone]
        merged = [kept.version.values.get("hs_merged_object_ids"), *(str(one.id) for one in absorbed)]
        merged.append(gone.version.values.get("hs_merged_object_ids"))
        joined["hs_merged_object_ids"] = ";".join(one for one in merged if one)
        survivor.changes = sorted([*kept.changes, *gone.changes], key=lambda change: change.at_ms)
        survivor.version = kept.version
        for one in absorbed:
            self.shelves[kind.name].remove(one)
            self.associations.move(kind.name, one.id, survivor.id)
        different = survivor.apply(Change(millis(at), "MERGE_OBJECTS", "", joined), millis(at))
        self._show(survivor, at, None)
        more = {
            "primaryObjectId": kept.id,
            "mergedObjectIds": [gone.id],
            "newObjectId": survivor.id,
            "numberOfPropertiesMoved": len(different),
        }
        self._tell(WebhookEvent("merge", kind, survivor.id, millis(at), more=more))
        return str(survivor.id)

    def hide_from_search(self, object_type: str, record_id: str, until: datetime) -> None:
        """Let search know nothing of a record until an instant, as an index that lags."""
        record = self.record(object_type, record_id)
        shelf = self.shelves[record.object_type]
        shelf.unindex(record)
        shelf.show(record, millis(until))

    def define_property(
        self,
        object_type: str,
        name: str,
        property_type: str = "string",
        *,
        label: str = "",
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Make a custom property; `options` are labels by value."""
        choices = tuple(Option(value, text) for value, text in (options or {}).items())
        kind = self.kind(object_type)
        self.properties[kind.name][name] = labelled(
            Property(name, property_type, label, choices, is_custom=True, group=f"{kind.singular}_custom")
        )

    def require(self, object_type: str, needed: str, *, when: str, value: str) -> None:
        """Have an admin make a property conditionally required, which refuses writes by API to records that lack it."""
        self.rules.append(Rule(self.kind(object_type).name, needed, when, value))

    def define_pipeline(self, object_type: str, pipeline_id: str, stages: Sequence[Stage], *, label: str = "") -> None:
        """Make a pipeline, or replace one (a stage that is left out still stands in histories)."""
        kind = self.kind(object_type)
        self.pipelines[kind.name][pipeline_id] = Pipeline(pipeline_id, label or pipeline_id, tuple(stages))

    def define_label(self, label: str, *, from_type: str = "deals", to_type: str = "contacts") -> None:
        """Make an association label of the user's own."""
        self.associations.define_label(self.kind(from_type).name, self.kind(to_type).name, label)

    def add_owner(self, email: str, first_name: str = "", last_name: str = "") -> str:
        """Add a user."""
        owner = Owner(str(self._new_id()), email, first_name, last_name)
        self.owners.append(owner)
        return owner.id

    def subscribe(
        self,
        target_url: str,
        secret: str,
        subscriptions: Sequence[Subscription],
        *,
        app_id: int = 7001,
        disorder: Disorder | None = None,
    ) -> Outbox:
        """Have an app's webhooks sent to a URL, signed with the app's client secret."""
        outbox = Outbox(self.portal_id, app_id, target_url, secret, subscriptions, disorder or Disorder())
        self.outboxes.append(outbox)
        return outbox

    def drain_webhooks(self, now: datetime) -> list[SignedRequest]:
        """Every webhook that waits to be sent, signed at this instant."""
        return [request for outbox in self.outboxes for request in outbox.drain(now)]

    @property
    def granted(self) -> frozenset[str]:
        """The scopes that callers have; those of leads only where the account has leads."""
        return self.scopes if self.has_leads else self.scopes - {"crm.objects.leads.read"}

    def kind(self, object_type: str) -> ObjectType:
        """An object type by any of its names; ValueError for an unknown one."""
        kind = object_type_of(object_type)
        if kind is None:
            raise ValueError(f"unknown object type {object_type}")
        return kind

    def record(self, object_type: str, record_id: str, *, is_archived: bool = False) -> StoredRecord:
        """A record that is there; KeyError otherwise."""
        record = self.shelves[self.kind(object_type).name].records[int(record_id)]
        if (record.archived_ms is not None) is not is_archived:
            raise KeyError(record_id)
        return record

    def associated(self, from_type: str, record_id: int, to_type: str) -> list[tuple[int, frozenset[str]]]:
        """The live records of a type that a record is associated with, in order of id, with their labels."""
        records = self.shelves[to_type].records
        found = self.associations.of(from_type, record_id, to_type)
        return [(other, labels) for other, labels in found if records[other].archived_ms is None]

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _successor(self, record: StoredRecord) -> StoredRecord:
        successor = StoredRecord(record.object_type, self._new_id(), record.created_ms, record.version)
        self.shelves[record.object_type].put(successor)
        return successor

    def _checked(self, kind: ObjectType, properties: Values) -> dict[str, str | None]:
        known = self.properties[kind.name]
        for name, value in properties.items():
            if name not in known:
                raise ValueError(f"{kind.name} have no property {name}")
            if known[name].is_read_only:
                raise ValueError(f"{kind.name}.{name} is read only")
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{kind.name}.{name} takes text or None")
        return dict(properties)

    def _check_stage(self, kind: ObjectType, values: Values) -> None:
        if kind.stage is None or kind.pipeline is None or not values.get(kind.stage):
            return
        pipeline = self.pipelines[kind.name].get(values.get(kind.pipeline) or "")
        if pipeline is None or pipeline.stage(values[kind.stage]) is None:
            raise ValueError(f"{values[kind.stage]} is no stage of the pipeline {values.get(kind.pipeline)}")

    def _show(self, record: StoredRecord, at: datetime, visible_at: datetime | None) -> None:
        if record.archived_ms is not None:
            return
        if visible_at is None and self.index_lag is not None:
            lag = self.index_lag(record.object_type, str(record.id), at)
            visible_at = at + lag if lag else None
        self.shelves[record.object_type].show(record, millis(visible_at) if visible_at else None)

    def _tell(self, event: WebhookEvent) -> None:
        for outbox in self.outboxes:
            outbox.offer(event)

    def _tell_changes(self, record: StoredRecord, at_ms: int, source_type: str, different: Values) -> None:
        if not self.outboxes:
            return
        kind = OBJECT_TYPES[record.object_type]
        for name, value in different.items():
            is_instant = bool(value) and self.properties[kind.name][name].type == "datetime"
            told = str(parse_millis(value)) if value and is_instant else value
            self._tell(WebhookEvent("propertyChange", kind, record.id, at_ms, source_type, name, told))

    def _tell_association(
        self, one: ObjectType, other: ObjectType, ids: tuple[int, int], at_ms: int, *, is_removed: bool
    ) -> None:
        more = {
            "fromObjectId": ids[0],
            "toObjectId": ids[1],
            "associationType": f"{one.singular}_to_{other.singular}".upper(),
            "associationRemoved": is_removed,
            "isPrimaryAssociation": False,
        }
        self._tell(WebhookEvent("associationChange", one, ids[0], at_ms, more=more))
