"""The simulated org: what a customer, his users and his flows do to a Salesforce org, as a Python API."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from connectors.simulators.disorder import Disorder
from connectors.simulators.salesforce import conversion, removal, setup
from connectors.simulators.salesforce.catalogue import (
    DEFAULT_STAGES,
    DEFAULT_STATUSES,
    FIELD_HISTORIES,
    Choice,
    Field,
    Stage,
    Status,
)
from connectors.simulators.salesforce.conversion import Converted
from connectors.simulators.salesforce.ids import long_id, make_id
from connectors.simulators.salesforce.instants import millis, moment
from connectors.simulators.salesforce.limits import Limits
from connectors.simulators.salesforce.queries import Locators
from connectors.simulators.salesforce.records import Records, Transaction
from connectors.simulators.salesforce.schema import Schema
from connectors.simulators.salesforce.sessions import ConnectedApp, Sessions
from connectors.simulators.salesforce.table import Row, Value
from connectors.simulators.salesforce.webhooks import JsonOutbox, Outbox, SoapOutbox, WebhookRequest

Rule = Callable[[Mapping[str, Value]], bool]


@dataclass(frozen=True, slots=True)
class Written:
    """One record written over the API; `client` is what Sforce-Call-Options named."""

    object_name: str
    id: str
    fields: Mapping[str, object]
    client: str


@dataclass(eq=False)
class Org:
    """One org. Objects and fields go by their API names; ids are given with 18 characters and taken with 15 or 18.

    `currencies` (rates by code) switches multi-currency on. `tracked` names fields with history, by object.
    `page_rows` is how many rows a page holds at most (2000 where None), or a function of the rows that were asked for;
    queries that find more than `slow_rows` run into QUERY_TIMEOUT.
    `requests` counts calls by endpoint ("query Lead", "composite"), `subrequests` what composite calls held.
    """

    org_id: str = make_id("00D", 62)
    my_domain: str = "https://acme.my.salesforce.com"
    instance_url: str | None = None
    currency: str = "USD"
    currencies: Mapping[str, float] = field(default_factory=dict)
    time_zone: str = "America/New_York"
    is_sandbox: bool = False
    has_persons: bool = False
    tracked: Mapping[str, Collection[str]] = field(default_factory=dict)
    app: ConnectedApp = field(default_factory=ConnectedApp)
    session_lifetime: timedelta = timedelta(hours=2)
    daily_calls: int = 100_000
    versions: Sequence[str] = ("65.0", "66.0", "67.0", "68.0")
    page_rows: int | Callable[[int], int] | None = None
    most_ids: int = 600_000
    slow_rows: int | None = None
    bin_age: timedelta = timedelta(days=15)
    is_api_enabled: bool = True
    can_edit_converted: bool = False
    conversion_field: str = "leadConverted"
    merge_moves_converted: bool = False
    requests: Counter[str] = field(default_factory=Counter, init=False)
    subrequests: Counter[str] = field(default_factory=Counter, init=False)
    writes: list[Written] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.schema = Schema(has_currencies=bool(self.currencies), has_persons=self.has_persons, tracked=self.tracked)
        self.records = Records(self.schema, self.currency if self.currencies else None)
        self.sessions = Sessions(self.app, self.org_id, self.session_lifetime)
        self.limits = Limits(self.daily_calls)
        self.locators = Locators()
        self.lead_mapping: dict[str, tuple[str, str]] = {}
        self.rules: list[tuple[str, Rule, str]] = []
        self.locked_ids: set[str] = set()
        self.outboxes: list[Outbox] = []
        self.records.told = self._tell
        setup.fill(self)
        self.set_stages(DEFAULT_STAGES)
        self.set_statuses(DEFAULT_STATUSES)

    def create(
        self,
        name: str,
        fields: Mapping[str, object],
        at: datetime,
        record_id: str | None = None,
        *,
        stamp: datetime | None = None,
        visible_at: datetime | None = None,
    ) -> str:
        """Make a record. `stamp` is its SystemModstamp, `visible_at` when it is committed, where these are not `at`."""
        return self.records.insert(name, fields, _transaction(at, stamp, visible_at), record_id and long_id(record_id))

    def update(
        self,
        name: str,
        record_id: str,
        fields: Mapping[str, object],
        at: datetime,
        *,
        stamp: datetime | None = None,
        visible_at: datetime | None = None,
    ) -> None:
        """Write fields, all in one transaction, with the history rows that follow."""
        self.records.change(name, self.row(name, record_id), fields, _transaction(at, stamp, visible_at))

    def touch(self, name: str, record_id: str, at: datetime) -> None:
        """Move SystemModstamp without any change to see, as mass jobs of the system do."""
        self.records.change(name, self.row(name, record_id), {}, _transaction(at), is_silent=True)

    def delete(self, name: str, record_id: str, at: datetime) -> None:
        """Put a record into the recycle bin, with its children."""
        removal.delete(self.records, name, self.row(name, record_id), _transaction(at))

    def undelete(self, name: str, record_id: str, at: datetime) -> None:
        """Take a record out of the recycle bin, with the children that went in with it."""
        removal.undelete(self.records, name, self.row(name, record_id, is_deleted=True), _transaction(at))

    def hard_delete(self, name: str, record_id: str, at: datetime) -> None:
        """Delete for good, from the recycle bin or at once: the record and its history are in no list but getDeleted's."""
        removal.hard_delete(self.records, name, self.records.tables[name].rows[long_id(record_id)], millis(at))

    def merge(self, name: str, winner: str, loser: str, at: datetime, fields: Mapping[str, object] | None = None) -> None:
        """Merge two leads, contacts or accounts; `fields` are the values that the winner takes over."""
        kept, gone = self.row(name, winner), self.row(name, loser)
        removal.merge(self.records, name, kept, gone, _transaction(at), fields or {}, moves_converted=self.merge_moves_converted)

    def convert_lead(
        self,
        lead_id: str,
        at: datetime,
        *,
        contact_id: str | None = None,
        account_id: str | None = None,
        opportunity: Mapping[str, object] | None = None,
        status: str = "Closed - Converted",
        has_role: bool = True,
        visible_at: datetime | None = None,
    ) -> Converted:
        """Convert a lead in one transaction; without `opportunity` none is made, without `has_role` nobody stands on it."""
        wanted = conversion.Wanted(contact_id, account_id, opportunity, status, has_role)
        return conversion.convert(self, self.row("Lead", lead_id), wanted, _transaction(at, None, visible_at))

    def add_role(
        self,
        opportunity: str,
        contact: str,
        role: str | None = None,
        *,
        is_primary: bool = False,
        at: datetime | None = None,
        visible_at: datetime | None = None,
    ) -> str:
        """Put a contact on an opportunity (`at` is by default when the opportunity was made)."""
        deal = self.row("Opportunity", opportunity)
        made = moment(self.records.instant("Opportunity", deal, "CreatedDate"))
        when = _transaction(at or made, visible_at=visible_at)
        fields = {"OpportunityId": deal.id, "ContactId": contact, "Role": role, "IsPrimary": is_primary}
        return self.records.insert("OpportunityContactRole", fields, when)

    def remove_role(self, role_id: str, at: datetime) -> None:
        """Take a contact off an opportunity; the role goes into the recycle bin."""
        self.delete("OpportunityContactRole", role_id, at)

    def define_field(
        self,
        name: str,
        field_name: str,
        field_type: str = "string",
        *,
        label: str = "",
        length: int = 255,
        choices: Sequence[str] = (),
        **flags: bool,
    ) -> None:
        """Make a custom field; `flags` are those of `Field` (is_filterable, is_calculated, is_updateable ...)."""
        options = tuple(Choice(one) for one in choices)
        field = Field(field_name, field_type, label, length, options, is_custom=True)
        self.schema.define(name, replace(field, **flags))  # type: ignore[arg-type]  # flags of a Field

    def remove_field(self, name: str, field_name: str) -> None:
        """Delete a field."""
        self.schema.remove(name, field_name)

    def hide(self, name: str, field_name: str | None = None, *, is_hidden: bool = True) -> None:
        """Take an object or a field from the integration user's sight (permissions, field-level security), or give it back."""
        self.schema.hide(name, field_name, is_hidden=is_hidden)

    def track_history(self, name: str, field_name: str, *, is_on: bool = True) -> None:
        """Switch the history of a field on or off."""
        self.schema.track(name, field_name, is_on=is_on)

    def map_lead_field(self, lead_field: str, name: str, field_name: str) -> None:
        """Have conversions copy a custom lead field into one of the Contact, Account or Opportunity."""
        self.lead_mapping[lead_field] = (name, field_name)

    def set_stages(self, stages: Sequence[Stage]) -> None:
        """Set the sales stages; records and history that hold others keep them, and nothing is written about it."""
        self.records.stages = {one.name: one for one in stages}
        setup.list_stages(self, stages)

    def set_statuses(self, statuses: Sequence[Status]) -> None:
        """Set the lead statuses."""
        self.records.statuses = {one.name: one for one in statuses}
        setup.list_statuses(self, statuses)

    def add_rule(self, name: str, is_broken: Rule, message: str) -> None:
        """A validation rule: writes that leave a record broken are refused with the message."""
        self.rules.append((name, is_broken, message))

    def subscribe_json(
        self,
        target_url: str,
        secret: str,
        *,
        objects: Collection[str] = ("Lead", "Opportunity"),
        batch: int = 1,
        disorder: Disorder | None = None,
    ) -> JsonOutbox:
        """Have a flow or trigger post changed ids to a URL, signed; `batch` 1 is an object a request, more is an array."""
        outbox = JsonOutbox(self, target_url, secret, objects, batch, disorder or Disorder())
        self.outboxes.append(outbox)
        return outbox

    def outbound_messages(
        self,
        target_url: str,
        fields: Mapping[str, Sequence[str]],
        *,
        sends_session: bool = False,
        disorder: Disorder | None = None,
    ) -> SoapOutbox:
        """Have outbound messages sent to a URL: the fields of each object that they carry."""
        outbox = SoapOutbox(self, target_url, fields, disorder or Disorder(), sends_session=sends_session)
        self.outboxes.append(outbox)
        return outbox

    def drain_webhooks(self, now: datetime) -> list[WebhookRequest]:
        """Every push that is due, as it would be sent at this instant."""
        self.settle(now)
        return [request for outbox in self.outboxes for request in outbox.drain(now)]

    def settle(self, now: datetime) -> None:
        """Let time pass: late commits show, the recycle bin is emptied of what is too old, definitions are stamped."""
        now_ms = millis(now)
        for table in self.schema.tables.values():
            table.catch_up(now_ms)
        removal.empty_bin(self.records, now_ms - self.bin_age // timedelta(milliseconds=1))
        for name in self.schema.settle(now_ms) & FIELD_HISTORIES.keys():
            setup.list_fields(self, name)

    def row(self, name: str, record_id: str, *, is_deleted: bool = False) -> Row:
        """A record that is there (or in the recycle bin); KeyError otherwise."""
        row = self.records.tables[name].rows[long_id(record_id)]
        if bool(self.records.tables[name].get(row, "IsDeleted")) is not is_deleted:
            raise KeyError(record_id)
        return row

    def value(self, name: str, record_id: str, field_name: str) -> Value:
        """What a field truly holds now (instants in epoch milliseconds)."""
        table = self.records.tables[name]
        return table.get(table.rows[long_id(record_id)], field_name)

    @property
    def zone(self) -> ZoneInfo:
        """The org's time zone."""
        return ZoneInfo(self.time_zone)

    def note_write(self, name: str, record_id: str, fields: Mapping[str, object], client: str) -> None:
        """Keep what was written over the API."""
        self.writes.append(Written(name, record_id, dict(fields), client))

    def _tell(self, name: str, record_id: str, ready_ms: int) -> None:
        for outbox in self.outboxes:
            outbox.offer(name, record_id, ready_ms)


def _transaction(at: datetime, stamp: datetime | None = None, visible_at: datetime | None = None) -> Transaction:
    return Transaction(
        millis(at) // 1000 * 1000,
        None if stamp is None else millis(stamp) // 1000 * 1000,
        None if visible_at is None else millis(visible_at),
    )
