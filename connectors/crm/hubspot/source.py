"""HubSpot as a CRM source: changes by keyset search, records by batch read. The pure parts live beside this file."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import ClassVar
from zoneinfo import ZoneInfo

import httpx

from connectors.contract.errors import ConnectorError
from connectors.contract.findings import Finding
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import NoteResult, Page, SourceLimits, SourceSchema, StatusNote, Stored, Window
from connectors.contract.tokens import TokenStore
from connectors.crm.hubspot.access import AccountRates, auth_of, is_stale_token
from connectors.crm.hubspot.api import HubSpotApi
from connectors.crm.hubspot.check import check_account
from connectors.crm.hubspot.notes import MOST_NOTES, write_notes
from connectors.crm.hubspot.objects import ASSOCIATED_DEALS
from connectors.crm.hubspot.portions import Portion
from connectors.crm.hubspot.reader import Reader
from connectors.crm.hubspot.refusals import classify
from connectors.crm.hubspot.schema import read_account, read_schema
from connectors.crm.hubspot.search import PAGE_ROWS, FoundRow, Keyset
from connectors.crm.hubspot.settings import HubSpotSettings
from connectors.crm.hubspot.windows import SEARCHES_A_PAGE, WindowSearch
from connectors.http.auth import Lock
from connectors.http.client import Clock, Hooks, HttpClient, Reply, Sleep
from connectors.http.strict_json import from_ms, to_ms

__all__ = ["HubSpotSettings", "HubSpotSource"]

# What the smallest plans may ask a day, all static tokens together; an OAuth app has no such limit.
REQUESTS_A_DAY = 250_000


class HubSpotSource:
    """One HubSpot account. `time_zone` is the account's, where it is known from an earlier `describe`."""

    kind: ClassVar[str] = "hubspot"
    limits: ClassVar[SourceLimits] = SourceLimits(
        page_rows=SEARCHES_A_PAGE * PAGE_ROWS, poll_every=timedelta(minutes=5), smallest_daily_budget=REQUESTS_A_DAY
    )
    most_notes: ClassVar[int] = MOST_NOTES

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: HubSpotSettings,
        clock: Clock,
        hooks: Hooks = Hooks(),
        sleep: Sleep = asyncio.sleep,
        time_zone: str | None = None,
        tokens: TokenStore | None = None,
        lock: Lock = contextlib.nullcontext,
    ) -> None:
        """An OAuth app needs `tokens`; `lock` lets one process at a time renew."""
        self._settings = settings
        self._clock = clock
        self._zone: tzinfo = ZoneInfo(time_zone) if time_zone else UTC
        http = HttpClient(
            client,
            vendor="HubSpot",
            base_url=settings.base_url,
            auth=auth_of(settings, client, tokens, lock, clock),
            classify=self._classify,
            rate_limits=AccountRates(settings, clock, sleep),
            hooks=hooks,
            clock=clock,
            sleep=sleep,
            is_stale_token=is_stale_token,
        )
        self._api = HubSpotApi(http, settings.api_version)
        self._pages = Portion()

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        HubSpotSettings.from_mapping(settings)

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
        time_zone: str | None = None,
    ) -> "HubSpotSource":
        """A connector from its text settings."""
        return cls(http, HubSpotSettings.from_mapping(settings), clock, hooks, sleep, time_zone, tokens, lock)

    async def check(self, kinds: frozenset[ObjectKind] = frozenset()) -> Sequence[Finding]:
        """Prove token, scopes and account; one finding each, failed ones with their mend. `kinds`: what the mapping reads."""
        is_static = self._settings.oauth is None
        checked = await check_account(self._api, self._clock(), kinds, has_daily_quota=is_static)
        if checked.account is not None:
            self._zone = ZoneInfo(checked.account.time_zone)
        return checked.findings

    async def describe(self) -> SourceSchema:
        """Read properties, pipelines, association labels, currency and zone of the account."""
        account = await read_account(self._api)
        self._zone = ZoneInfo(account.time_zone)
        return await read_schema(self._api, account)

    async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
        """Yield the records modified in the window, oldest modification first; memory holds one page.

        Where the window's end was not known, the first page may hold rows that were modified after it.
        """
        reader = Reader(self._api, selection, self._clock)
        start_ms = to_ms(window.since)
        until_ms = None if window.until is None else max(to_ms(window.until), start_ms)
        chosen = selection.objects.get(window.kind, ObjectSelection())
        on_deals = {ASSOCIATED_DEALS} if chosen.or_on_deals and window.kind is ObjectKind.CONTACT else set()
        wanted = chosen.only_where_set | on_deals
        search = WindowSearch(self._api, window.kind, self._settings.page_rows, wanted, start_ms, self._clock)
        keyset = Keyset.from_text(window.resume) if window.resume else None
        going_on: Keyset | None = keyset or Keyset(start_ms)
        while going_on is not None:
            stretch = await search.stretch(going_on, until_ms, self._pages.of(SEARCHES_A_PAGE))
            records = await self._pages.watch(self._changed(reader, window.kind, stretch.rows, stored))
            until_ms, going_on = stretch.until_ms, stretch.next
            yield Page(
                records=records,
                until=from_ms(until_ms),
                resume=None if going_on is None else going_on.to_text(),
                is_last=going_on is None,
                seen=len(stretch.rows),
            )
            if stretch.failure is not None:
                raise stretch.failure

    async def fetch(self, refs: Sequence[RecordRef], selection: Selection, stored: Stored) -> Sequence[Record]:
        """Read these records with history and people; unknown contacts on deals and leads come with them, before them."""
        reader = Reader(self._api, selection, self._clock)
        contacts = {ref.external_id for ref in refs if ref.kind is ObjectKind.CONTACT}
        records: list[Record] = []
        for kind in (ObjectKind.COMPANY, ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL):
            ids = [ref.external_id for ref in refs if ref.kind is kind]
            if ids:
                found = await reader.records(kind, ids, known=stored.known, beside=contacts)
                contacts |= {record.ref.external_id for record in found if record.ref.kind is ObjectKind.CONTACT}
                records += found
        return records

    async def write_back(self, notes: Sequence[StatusNote]) -> Sequence[NoteResult]:
        """Write the notes into their properties, at most 100 at once; exactly one result each, in order."""
        return await write_notes(self._api, notes)

    async def deleted(self, kind: ObjectKind, since: datetime | None) -> AsyncIterator[Sequence[RecordRef]]:
        """Yield the recycle bin, which keeps 90 days; memory holds one page.

        HubSpot lists it in no order of time and filters it by none, so `since` spares no page.
        """
        del since
        after: str | None = None
        while True:
            ids, after = await self._api.archived(kind, after)
            yield [RecordRef(kind, one) for one in ids]
            if after is None:
                return

    async def _changed(self, reader: Reader, kind: ObjectKind, rows: Sequence[FoundRow], stored: Stored) -> tuple[Record, ...]:
        """Read the rows that are not stored in exactly this version."""
        if not rows:
            return ()
        unchanged = await stored.unchanged(kind, {row.id: row.modified_at for row in rows})
        changed = [row.id for row in rows if row.id not in unchanged]
        return await reader.records(kind, changed, known=stored.known) if changed else ()

    def _classify(self, reply: Reply) -> ConnectorError | None:
        return classify(reply, self._zone, self._clock())
