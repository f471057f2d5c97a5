"""Pipedrive as a CRM source: changes by lists, history by changelog where it matters. The pure parts live beside this file."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import urlsplit

import httpx

from connectors.contract.errors import ConnectorError
from connectors.contract.findings import Finding
from connectors.contract.records import ObjectKind, Record, RecordRef
from connectors.contract.selection import Selection
from connectors.contract.source import (
    NoteResult,
    Page,
    SourceLimits,
    SourceSchema,
    StatusNote,
    Stored,
    SubscriptionsKept,
    Window,
)
from connectors.contract.tokens import TokenStore
from connectors.crm.pipedrive.api import PAGE_ROWS, PipedriveApi
from connectors.crm.pipedrive.budget import SMALLEST_DAILY_TOKENS, TokenBudget
from connectors.crm.pipedrive.check import check_account
from connectors.crm.pipedrive.listing import Lister, Position
from connectors.crm.pipedrive.objects import OBJECTS
from connectors.crm.pipedrive.reader import Reader
from connectors.crm.pipedrive.refusals import classify
from connectors.crm.pipedrive.schema import read_account, read_schema
from connectors.crm.pipedrive.settings import PipedriveSettings
from connectors.crm.pipedrive.subscriptions import keep_subscriptions
from connectors.crm.pipedrive.write_back import write_notes
from connectors.http.auth import Lock, OAuthRefresh, StaticToken
from connectors.http.client import Clock, Hooks, HttpClient, Reply, Sleep
from connectors.http.rate_limit import Rate, RateLimits
from connectors.http.strict_json import to_ms

__all__ = ["PipedriveSettings", "PipedriveSource"]

# A window that reaches back so far is a sweep, a start over or the first after an outage: the archive is read with it.
LONG_WINDOW = timedelta(hours=6)
# A note costs five tokens, a lead's ten: at most a twentieth to a tenth of the smallest plan's day.
NOTES_A_DAY = 300


class PipedriveSource:
    """One Pipedrive company. Keeps in memory what it spent today, when it read the archives last, and whose history it owes."""

    kind: ClassVar[str] = "pipedrive"
    limits: ClassVar[SourceLimits] = SourceLimits(
        page_rows=PAGE_ROWS,
        poll_every=timedelta(minutes=15),
        fast_overlap=timedelta(minutes=10),
        smallest_daily_budget=SMALLEST_DAILY_TOKENS,
        notes_a_day=NOTES_A_DAY,
    )
    most_notes: ClassVar[int] = 50

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: PipedriveSettings,
        tokens: TokenStore,
        lock: Lock,
        clock: Clock,
        hooks: Hooks = Hooks(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._budget = TokenBudget(clock, settings.daily_tokens, settings.daily_share)
        self._archives_read: dict[ObjectKind, datetime] = {}
        self._owed: dict[RecordRef, None] = {}
        self._oauth = _oauth(client, settings, tokens, lock, clock)
        http = HttpClient(
            client,
            vendor="Pipedrive",
            base_url=self._host,
            auth=self._oauth or StaticToken(settings.api_token or "", header="x-api-token", scheme=""),
            classify=self._classify,
            rate_limits=RateLimits({"general": _rate(settings.requests_per_2_seconds)}, clock, sleep),
            hooks=hooks,
            clock=clock,
            sleep=sleep,
        )
        self._api = PipedriveApi(http, self._budget)

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        PipedriveSettings.from_mapping(settings)

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
        time_zone: str | None = None,  # noqa: ARG003 tokens come back at midnight UTC, wherever the company is
    ) -> "PipedriveSource":
        """A connector from its text settings."""
        return cls(http, PipedriveSettings.from_mapping(settings), tokens, lock, clock, hooks, sleep)

    @property
    def budget(self) -> TokenBudget:
        """What the day's tokens are, and what of them is spent."""
        return self._budget

    async def check(self, kinds: frozenset[ObjectKind] = frozenset()) -> Sequence[Finding]:
        """Prove token, rights, scopes and the day's tokens; one finding each, failed ones with their mend."""
        return await check_account(self._api, self._settings, self._budget, kinds)

    async def describe(self) -> SourceSchema:
        """Read fields, pipelines, currencies and zone of the company."""
        account = await read_account(self._api)
        return await read_schema(self._api, account, self._settings.history)

    def poll_every(self, kind: ObjectKind) -> timedelta:
        """How long after a poll the next one comes, by the day's tokens."""
        return self._budget.poll_every(kind)

    async def changes(self, window: Window, selection: Selection, stored: Stored) -> AsyncIterator[Page]:
        """Yield the records modified in the window; memory holds one page.

        The live list goes first, oldest modification first; then the archived records, where their turn has come (leads
        newest first, as Pipedrive gives no other way).
        """
        kind, now = window.kind, self._clock()
        reader = self._reader(selection)
        since = window.since.replace(microsecond=0)
        lister = Lister(self._api, kind, reader.query(kind), since, window.until, now)
        resumed = None if window.resume is None else Position.from_text(window.resume)
        position: Position | None = resumed or Position(to_ms(since), archive_from_ms=self._archive_from(kind, since, now))
        was_last = False
        while position is not None:
            onward = lister.archive_of(position)
            async for found in lister.pages(position):
                position = position.at_page(found)
                async for batch in reader.batches(kind, found.rows, stored):
                    position = position.behind(batch.rows)
                    was_last = found.is_end and batch.is_end and onward is None and not reader.owes(kind)
                    resume = None if was_last else position.to_text()
                    yield Page(batch.records, lister.end, resume, was_last, seen=len(batch.rows))
            if position.is_archive:
                self._note_archive_read(kind, lister.end, now)
            position = lister.archive_of(position)
        if not was_last:
            owed = reader.owes(kind)
            records = await reader.caught_up(kind, owed, stored) if owed else ()
            yield Page(records, lister.end, None, is_last=True)

    async def fetch(self, refs: Sequence[RecordRef], selection: Selection, stored: Stored) -> Sequence[Record]:
        """Read these records with history and people; unknown persons on deals and leads come with them, before them."""
        reader = self._reader(selection)
        persons = {ref.external_id for ref in refs if ref.kind is ObjectKind.CONTACT}
        records: list[Record] = []
        for kind in (ObjectKind.COMPANY, ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL):
            ids = [ref.external_id for ref in refs if ref.kind is kind]
            if ids:
                found = await reader.fetched(kind, ids, stored, beside=persons)
                persons |= {record.ref.external_id for record in found if record.ref.kind is ObjectKind.CONTACT}
                records += found
        return await reader.deleted_or_converted(records)

    async def keep_webhooks(self, address: str, kinds: frozenset[ObjectKind]) -> SubscriptionsKept:
        """See that a live subscription of each kind leads to the address; dead ones of ours are replaced."""
        return await keep_subscriptions(self._api, address, kinds, self._settings.webhook_secrets)

    async def write_back(self, notes: Sequence[StatusNote]) -> Sequence[NoteResult]:
        """Write nothing but these custom fields, a request a note; exactly one result for each note, in order."""
        return await write_notes(self._api, notes)

    def _reader(self, selection: Selection) -> Reader:
        return Reader(self._api, selection, self._clock, self._budget, self._settings.history, self._owed)

    def _archive_from(self, kind: ObjectKind, since: datetime, now: datetime) -> int | None:
        """From where the archive is to be read in this window, None where its turn has not come.

        What memory knows of the last reading is lost with the process, so the first one reaches back by its whole interval.
        """
        if OBJECTS[kind].archive is None:
            return None
        every, last = self._budget.archive_every, self._archives_read.get(kind)
        if last is None:
            return to_ms(since - every)
        if now - last < every and now - since < LONG_WINDOW:
            return None
        return to_ms(min(since, last - self.limits.fast_overlap))

    def _note_archive_read(self, kind: ObjectKind, until: datetime, now: datetime) -> None:
        """A window of long ago (a backfill's) says nothing of what has changed since."""
        last = self._archives_read.get(kind)
        if last is not None or now - until < LONG_WINDOW:
            self._archives_read[kind] = max(last or until, until)

    def _host(self) -> str:
        """The host that the OAuth token names, where it is Pipedrive's; else the configured one."""
        named = None if self._oauth is None else self._oauth.endpoint
        return named if named and self._settings.base_url is None and _is_pipedrive(named) else self._settings.host

    def _classify(self, reply: Reply) -> ConnectorError | None:
        return classify(reply, self._clock())


def _oauth(
    client: httpx.AsyncClient, settings: PipedriveSettings, tokens: TokenStore, lock: Lock, clock: Clock
) -> OAuthRefresh | None:
    if settings.api_token is not None:
        return None
    return OAuthRefresh(
        client,
        vendor="Pipedrive",
        token_url=settings.token_url,
        client_id=settings.client_id or "",
        client_secret=settings.client_secret or "",
        refresh_token=settings.refresh_token,
        store=tokens,
        lock=lock,
        clock=clock,
        client_in_header=True,
        endpoint_key="api_domain",
    )


def _is_pipedrive(endpoint: str) -> bool:
    """A token must not be sent where a reply, however it came about, points."""
    try:
        parts = urlsplit(endpoint)
        return parts.scheme == "https" and parts.port is None and (parts.hostname or "").endswith(".pipedrive.com")
    except ValueError:
        return False


def _rate(requests: int) -> Rate:
    """So many in any two seconds: a burst of a quarter, and the rest as they are refilled."""
    burst = max(1, requests // 4)
    a_second = (requests - burst) / 2
    return Rate(burst, timedelta(seconds=burst / a_second))
