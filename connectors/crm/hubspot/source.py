"""HubSpot as a CRM source: changes by keyset search, records by batch read. The pure parts live beside this file."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import ClassVar
from zoneinfo import ZoneInfo

import httpx

from connectors.contract.errors import ConnectorError
from connectors.contract.findings import Finding
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import Selection
from connectors.contract.source import Page, SourceLimits, SourceSchema, Stored, Window
from connectors.contract.tokens import TokenStore
from connectors.crm.hubspot.api import SEARCH, HubSpotApi
from connectors.crm.hubspot.check import check_account
from connectors.crm.hubspot.reader import Reader
from connectors.crm.hubspot.refusals import classify
from connectors.crm.hubspot.schema import read_account, read_schema
from connectors.crm.hubspot.search import PAGE_ROWS, FoundRow, Keyset, advance
from connectors.crm.hubspot.settings import HubSpotSettings
from connectors.http.auth import Lock, StaticToken
from connectors.http.client import Clock, Hooks, HttpClient, Reply, Sleep
from connectors.http.rate_limit import Rate, RateLimits
from connectors.http.strict_json import from_ms, to_ms

__all__ = ["HubSpotSettings", "HubSpotSource"]

SECOND = timedelta(seconds=1)


class HubSpotSource:
    """One HubSpot account. `time_zone` is the account's, where it is known from an earlier `describe`."""

    kind: ClassVar[str] = "hubspot"
    limits: ClassVar[SourceLimits] = SourceLimits(page_rows=PAGE_ROWS, poll_every=timedelta(minutes=5))

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: HubSpotSettings,
        clock: Clock,
        hooks: Hooks = Hooks(),
        sleep: Sleep = asyncio.sleep,
        time_zone: str | None = None,
    ) -> None:
        self._clock = clock
        self._zone: tzinfo = ZoneInfo(time_zone) if time_zone else UTC
        rates = {
            "general": Rate(settings.requests_per_second, SECOND),
            # HubSpot counts searches by the second and has no patience: none is saved up.
            SEARCH: Rate(1, SECOND / settings.searches_per_second),
        }
        http = HttpClient(
            client,
            vendor="HubSpot",
            base_url=settings.base_url,
            auth=StaticToken(settings.access_token),
            classify=self._classify,
            rate_limits=RateLimits(rates, clock, sleep),
            hooks=hooks,
            clock=clock,
            sleep=sleep,
        )
        self._api = HubSpotApi(http, settings.api_version)

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        HubSpotSettings.from_mapping(settings)

    @classmethod
    def open(
        cls,
        settings: Mapping[str, str],
        http: httpx.AsyncClient,
        tokens: TokenStore,  # noqa: ARG003 a static token needs no store
        lock: Lock,  # noqa: ARG003 nor a lock
        clock: Clock,
        hooks: Hooks,
        sleep: Sleep,
        time_zone: str | None = None,
    ) -> "HubSpotSource":
        """A connector from its text settings."""
        return cls(http, HubSpotSettings.from_mapping(settings), clock, hooks, sleep, time_zone)

    async def check(self, kinds: frozenset[ObjectKind] = frozenset()) -> Sequence[Finding]:
        """Prove token, scopes and account; one finding each, failed ones with their mend. `kinds`: what the mapping reads."""
        checked = await check_account(self._api, self._clock(), kinds)
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
        keyset = Keyset.from_text(window.resume) if window.resume else None
        going_on: Keyset | None = keyset or Keyset(start_ms)
        while going_on is not None:
            found, server_time = await self._api.search(window.kind, going_on, until_ms, PAGE_ROWS)
            if until_ms is None:
                until_ms = max(to_ms(server_time or self._clock()), start_ms)
            step = advance(going_on, found, until_ms)
            records = await self._changed(reader, window.kind, step.rows, stored)
            going_on = step.next
            yield Page(
                records=records,
                until=from_ms(until_ms),
                resume=None if going_on is None else going_on.to_text(),
                is_last=going_on is None,
                seen=len(step.rows),
            )

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
