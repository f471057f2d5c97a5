"""Salesforce as a CRM source: windows by SOQL keyset, composites for what belongs to a page. The pure parts live beside it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, TypeVar

import httpx

from connectors.contract.errors import AuthenticationFailed, ConnectorError, RequestRefused, Unavailable
from connectors.contract.findings import Finding
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import Selection
from connectors.contract.source import NoteResult, Page, SourceLimits, SourceSchema, StatusNote, Stored, Window
from connectors.contract.tokens import TokenStore
from connectors.crm.salesforce.access import VENDOR, SalesforceAccess
from connectors.crm.salesforce.ahead import first_pages, reads_roles
from connectors.crm.salesforce.api import SalesforceApi
from connectors.crm.salesforce.budget import DailyBudget
from connectors.crm.salesforce.catalogue import Catalogue, Plans
from connectors.crm.salesforce.check import check_org
from connectors.crm.salesforce.deletions import list_deleted
from connectors.crm.salesforce.reader import Reader
from connectors.crm.salesforce.records import modified_at, role_deals, row_id
from connectors.crm.salesforce.refusals import DRIFTED, classify
from connectors.crm.salesforce.roles import RolesRead
from connectors.crm.salesforce.schema import read_schema
from connectors.crm.salesforce.settings import SalesforceSettings
from connectors.crm.salesforce.soql import PAGE_ROWS
from connectors.crm.salesforce.walk import LOST, First, Step, Stretch, Walk
from connectors.crm.salesforce.windows import Phase, Place
from connectors.crm.salesforce.write_back import MOST_NOTES, write_notes
from connectors.http.auth import Lock
from connectors.http.client import Clock, Hooks, HttpClient, Reply, Sleep
from connectors.http.strict_json import Json, from_ms, to_ms

__all__ = ["SalesforceSettings", "SalesforceSource"]

# So many deals of one run are remembered as read, so that their roles do not have them read again.
DEALS_REMEMBERED = 20_000

Result = TypeVar("Result")


class SalesforceSource:
    """One Salesforce org."""

    kind: ClassVar[str] = "salesforce"
    limits: ClassVar[SourceLimits] = SourceLimits(
        page_rows=PAGE_ROWS,
        poll_every=timedelta(minutes=5),
        # A transaction shows up minutes after the stamp that it wrote.
        fast_overlap=timedelta(minutes=10),
        # A developer org's; not stated in Salesforce's own pages.
        smallest_daily_budget=15_000,
    )
    most_notes: ClassVar[int] = MOST_NOTES

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: SalesforceSettings,
        tokens: TokenStore,
        lock: Lock,
        clock: Clock,
        hooks: Hooks = Hooks(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._budget = DailyBudget(settings.daily_share, clock)
        self._access = SalesforceAccess(client, settings, tokens, lock, clock)
        http = HttpClient(
            client,
            vendor=VENDOR,
            base_url=self._access.base_url,
            auth=self._access,
            classify=self._classify,
            hooks=hooks,
            clock=clock,
            sleep=sleep,
        )
        self._api = SalesforceApi(http, settings.api_version, self._budget)
        self._catalogue = Catalogue(self._api, clock)
        self._ahead: dict[Window, tuple[Selection, First]] = {}
        self._roles = RolesRead()
        self._listed: frozenset[str] = frozenset()
        self._stretches = {kind: Stretch() for kind in ObjectKind}

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        SalesforceSettings.from_mapping(settings)

    @classmethod
    def open(
        cls,
        settings: Mapping[str, str],
        http: httpx.AsyncClient,
        tokens: TokenStore,
        lock: Lock,
        clock: Clock,
        hooks: Hooks,
        sleep: Sleep,
        time_zone: str | None = None,  # noqa: ARG003 the day's limit rolls, so no zone matters
    ) -> "SalesforceSource":
        """A connector from its text settings."""
        return cls(http, SalesforceSettings.from_mapping(settings), tokens, lock, clock, hooks, sleep)

    async def check(self, kinds: frozenset[ObjectKind] = frozenset()) -> Sequence[Finding]:
        """Prove token, version, org, permissions, tracking and budget; one finding each. `kinds`: what the mapping reads."""
        return await check_org(self._api, self._settings, kinds)

    async def describe(self) -> SourceSchema:
        """Read properties, stages, roles, currency and zone of the org."""
        self._catalogue.forget()
        return await read_schema(self._api, self._settings.currency, self._access.pages_url)

    def poll_every(self, kind: ObjectKind) -> timedelta:  # noqa: ARG002 one budget serves all kinds
        """Five minutes, longer while the org's day, or our share of it, runs low."""
        return self._budget.stretched(self.limits.poll_every)

    async def read_ahead(self, windows: Sequence[Window], selection: Selection) -> None:
        """Read the first pages of these windows in one request; what fails of one is told by its own `changes`."""
        self._ahead.clear()
        try:
            firsts = await self._firsts(windows, selection)
        except Unavailable:
            return  # one slow query fails them all; each window's own reading finds out
        self._ahead.update((window, (selection, first)) for window, first in firsts.items())

    async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
        """Yield the records modified in the window, oldest modification first; memory holds one page.

        A deal's window ends with the deals whose contact roles changed in it. Where the window's end was not known, the
        first page may hold rows that were modified after it.
        """
        resumed = Place.from_text(window.resume) if window.resume else None
        start_ms = self._start_ms(window)
        first = await self._first(window, selection) if resumed is None else None
        walk = Walk(self._api, window, start_ms, self._clock, self._stretches[window.kind], first)
        place: Place | None = resumed or Place(Phase.ROWS, start_ms)
        read: set[str] = set()
        while place is not None:
            reading = _PageReading(self._api, walk, place, stored, self._clock, self._roles)
            step = await self._steady(selection, reading.step)
            records = await self._steady(selection, lambda plans: reading.records(plans, step, read))  # noqa: B023 awaited here
            place = step.next or reading.after(read)
            yield Page(
                records=records,
                until=from_ms(walk.until_ms or start_ms),
                resume=None if place is None else place.to_text(),
                is_last=place is None,
                seen=len(step.rows),
            )
            self._roles.note(reading.settled_roles)  # the page is committed

    async def fetch(self, refs: Sequence[RecordRef], selection: Selection, stored: Stored) -> Sequence[Record]:
        """Read these records with history and people; unknown people of deals and leads come with them, before them."""
        contacts = frozenset(ref.external_id for ref in refs if ref.kind is ObjectKind.CONTACT)
        records: list[Record] = []
        for kind in (ObjectKind.COMPANY, ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL):
            ids = [ref.external_id for ref in refs if ref.kind is kind]
            if ids:
                reading = _Fetching(self._api, kind, ids, contacts, stored, self._clock, self._listed)
                found = await self._steady(selection, reading.records)
                contacts |= {record.ref.external_id for record in found if record.ref.kind is ObjectKind.CONTACT}
                records += found
        return records

    async def deleted(self, kind: ObjectKind, since: datetime | None) -> AsyncIterator[Sequence[RecordRef]]:
        """Yield what was deleted, hard deletions too; Salesforce tells of the last 30 days."""
        async for page in list_deleted(self._api, kind, since, self._clock()):
            self._listed = frozenset(ref.external_id for ref in page)
            yield page
        self._listed = frozenset()

    async def write_back(self, notes: Sequence[StatusNote]) -> Sequence[NoteResult]:
        """Write these properties, at most 200 notes; one result each, in order."""
        return await write_notes(self._api, notes)

    async def _first(self, window: Window, selection: Selection) -> First | None:
        """The window's first page: read ahead, or read now with that of its roles."""
        kept_for, first = self._ahead.pop(window, (None, None))
        if first is not None and kept_for == selection:
            return first
        await self._steady(selection, lambda plans: _shown(plans, window.kind))
        try:
            return (await self._firsts([window], selection)).get(window)
        except Unavailable as error:
            if error.status in LOST:
                self._stretches[window.kind].note_lost(to_ms(self._clock()) - self._start_ms(window))
            raise

    async def _firsts(self, windows: Sequence[Window], selection: Selection) -> Mapping[Window, First]:
        """The first pages of those windows that need not be read in stretches."""
        starts = {window: self._start_ms(window) for window in windows if self._stretches[window.kind].ms is None}
        return await first_pages(self._api, starts, await self._catalogue.plans(selection), self._clock())

    def _start_ms(self, window: Window) -> int:
        return max(to_ms(window.since - self._settings.look_back), 0)

    async def _steady(self, selection: Selection, call: Callable[[Plans], Awaitable[Result]]) -> Result:
        """A reading whose plan is an hour old at most; where the schema was found changed, once more with a new plan.

        So a field that nobody mapped is let go, and a mapped one is named.
        """
        for is_last_try in (False, True):
            try:
                return await call(await self._catalogue.plans(selection))
            except (AuthenticationFailed, RequestRefused) as error:
                if error.code not in DRIFTED:
                    raise
                self._catalogue.forget()
                if is_last_try:
                    raise
        raise AssertionError  # the last try returns or raises

    def _classify(self, reply: Reply) -> ConnectorError | None:
        """Refused answers tell of the day's requests too."""
        self._budget.seen(reply.headers)
        return classify(reply)


class _PageReading:
    """One page of a window. `settled_roles`: those whose deals are read after the roles were seen."""

    def __init__(self, api: SalesforceApi, walk: Walk, place: Place, stored: Stored, clock: Clock, roles: RolesRead) -> None:
        self._api = api
        self._walk = walk
        self._place = place
        self._stored = stored
        self._clock = clock
        self._roles = roles
        self._has_roles = False
        self._are_roles_early = False
        self.settled_roles: Sequence[Json] = ()

    async def step(self, plans: Plans) -> Step:
        """The page's rows, and where the next page begins."""
        self._are_roles_early = self._walk.early_roles() is not None
        return await self._walk.step(self._place, plans)

    async def records(self, plans: Plans, step: Step, read: set[str]) -> tuple[Record, ...]:
        """What is changed among the rows. `read`: the deals that this run has read."""
        kind = self._walk.kind
        reader = Reader(self._api, plans, self._stored.known, self._clock)
        if self._place.phase is Phase.ROLES:
            deals = self._roles.unread(step.rows, read)
            asked = set(deals)
            are_settled = self._are_roles_early
            self.settled_roles = [role for role in step.rows if are_settled or not asked.isdisjoint(role_deals([role]))]
            return await reader.by_ids(ObjectKind.DEAL, deals) if deals else ()
        self._has_roles = reads_roles(kind, plans)
        changed = await self._changed(plans, step.rows)
        found = await reader.complete(kind, changed) if changed else ()
        if len(read) < DEALS_REMEMBERED:
            read.update(map(row_id, changed))
        return found

    def after(self, read: set[str]) -> Place | None:
        """Where the reading goes on when the phase has ended: at the roles, unless those seen before the rows ask for nothing."""
        if self._place.phase is Phase.ROLES or not self._has_roles:
            return None
        early = self._walk.early_roles()
        if early is None or self._roles.unread(early, read):
            return self._walk.roles_start()
        self.settled_roles = early
        return None

    async def _changed(self, plans: Plans, rows: Sequence[Json]) -> list[Json]:
        """The rows that are not stored in exactly this version."""
        if not rows:
            return []
        stamp = plans.of(self._walk.kind).stamp
        versions = {row_id(row): modified_at(row, stamp) for row in rows}
        unchanged = await self._stored.unchanged(self._walk.kind, versions)
        return [row for row in rows if row_id(row) not in unchanged]


class _Fetching:
    """Some records of one kind by id. `contacts` are read already."""

    def __init__(
        self,
        api: SalesforceApi,
        kind: ObjectKind,
        ids: Sequence[str],
        contacts: frozenset[str],
        stored: Stored,
        clock: Clock,
        listed: frozenset[str],
    ) -> None:
        self._api = api
        self._kind = kind
        self._ids = ids
        self._contacts = contacts
        self._stored = stored
        self._clock = clock
        self._listed = listed

    async def records(self, plans: Plans) -> tuple[Record, ...]:
        """The records, people first."""
        reader = Reader(self._api, plans, self._stored.known, self._clock, self._listed)
        return await reader.by_ids(self._kind, self._ids, self._contacts)


async def _shown(plans: Plans, kind: ObjectKind) -> None:
    """Raises where the org hides the kind or a mapped field of it."""
    plans.of(kind)
