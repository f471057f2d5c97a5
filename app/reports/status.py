"""How things stand: sources, destinations and jobs on one page, without secrets, people, or a look at what was delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.connections import repository as connections
from app.connections.repository import DestinationRow, SourceRow, TargetPause
from app.db.instants import from_ms, optional_from_ms, to_ms
from app.db.session import Database
from app.ingest.backfill_repository import BackfillRow, backfills_of
from app.ingest.watch import SILENCE_IN_WORDS, SILENCE_MEND, WebhookWatch, watches
from app.mapping.repository import VersionsHeld, versions_held
from app.outbox.code_repository import UnknownCode, unknown_codes
from app.reports import status_queries as queries
from app.reports.platforms import Ability, Platform, VersionStatus, rows_now, version_status
from app.reports.spend_words import SpendStatus, spend_status
from connectors.contract.errors import NEEDS_REAUTH

DAY = timedelta(days=1)
CHECK_MEND = "run `leadloop check` and follow what it says; a clean check ends the pause"
REAUTH_MEND = (
    "connect again: its refresh token is no longer taken; authorize Leadloop anew as the README of its kind says, put the new "
    "token into its settings, and run `leadloop check`: a clean check ends the pause"
)
WAIT_MEND = "it ends by itself; if it comes again and again, run `leadloop check`"
MODE_MEND = "an operator set the mode to paused; set it to live to go on"
FEWER_ROWS = "The platform failed with larger requests, so that fewer rows go in one; it grows again by itself."
FEWER_ROWS_MEND = "nothing is to be done; where it stays small for days, look at the platform's status page"
UNKNOWN_CODE = "Leadloop does not know this code of the platform: what it stopped is tried again with growing pauses."
UNKNOWN_CODE_MEND = (
    "look it up in the platform's documentation and mend what it says; report the code, so that a release knows it"
)


@dataclass(frozen=True, slots=True)
class WebhookAddress:
    """Where webhooks arrive, and of which kinds of CRM."""

    public_url: str | None
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pause:
    """Why something stands still, until when (None: until a check clears it), and what to do."""

    reason: str
    until: datetime | None
    mend: str


@dataclass(frozen=True, slots=True)
class PollStatus:
    """How far one kind of record is read, and when it is polled next."""

    object: str
    read_to: datetime
    is_reading: bool
    next_poll_at: datetime | None


@dataclass(frozen=True, slots=True)
class WebhookStatus:
    """What webhooks of a source came, and what only polls found since the last one.

    `silent_since` is set while they are taken for silent: `message` and `mend` say so. `subscribed_at`: when the subscriptions
    were looked at last, where Leadloop keeps them itself; `subscription_error` says why that failed.
    """

    events: int
    last_at: datetime | None
    found_by_poll: int
    found_by_poll_in_all: int
    silent_since: datetime | None
    message: str | None
    mend: str | None
    subscribed_at: datetime | None
    subscription_error: str | None


@dataclass(frozen=True, slots=True)
class BackfillStatus:
    """How far the past of one kind of record is read: `share` of its time, 0 to 1. `failed` says why it stands still."""

    object: str
    since: datetime
    share: float
    seen: int
    records: int
    conversions: int
    moved_at: datetime | None
    failed: str | None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source. `webhook_url` is what the vendor's webhooks call, None for a CRM without; `webhooks` is None before any.

    `backfill`: what is under way. `mapping_differs_from_file`: another version is active than the config file's.
    """

    name: str
    kind: str
    mode: str
    pause: Pause | None
    mapping_version: int | None
    differs_from_file: bool
    mapping_differs_from_file: bool
    hints_waiting: int
    polls: Sequence[PollStatus]
    webhooks: WebhookStatus | None
    backfill: Sequence[BackfillStatus]
    webhook_url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """A target that the platform refused."""

    target: dict[str, str]
    code: str
    since: datetime
    mend: str


@dataclass(frozen=True, slots=True)
class OwedStatus:
    """What is owed. Counts end at `counted_to`: a greater backlog shows that figure."""

    due: int
    waiting: int
    oldest_due_at: datetime | None
    counted_to: int = queries.MOST_COUNTED


@dataclass(frozen=True, slots=True)
class RowsStatus:
    """How many rows a request holds: `most` by the platform's limit, `now` by the operator's and by what the platform bore."""

    most: int
    now: int
    message: str | None
    mend: str | None


@dataclass(frozen=True, slots=True)
class CodeStatus:
    """A code of the platform that Leadloop does not know. What it stopped is tried again with growing pauses."""

    code: str
    times: int
    first_at: datetime
    last_at: datetime
    message: str
    mend: str


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """One destination. `failed_last_day` counts by state.

    `rows` is None for a kind that this release does not know, `spend` for a platform whose spend is not read.
    """

    name: str
    kind: str
    mode: str
    pause: Pause | None
    differs_from_file: bool
    paused_targets: Sequence[TargetStatus]
    owed: OwedStatus
    failed_last_day: dict[str, int]
    rows: RowsStatus | None
    api_versions: Sequence[VersionStatus]
    spend: SpendStatus | None
    unknown_codes: Sequence[CodeStatus]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job of the job table. `failed` names the error of its last run, None where it went well."""

    name: str
    due_at: datetime
    ran_at: datetime | None
    failed: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """The whole. `clock_skew_ms`: the database's clock minus ours, None where it is the same clock (SQLite)."""

    version: str
    now: datetime
    database: str
    clock_skew_ms: int | None
    sources: Sequence[SourceStatus]
    destinations: Sequence[DestinationStatus]
    jobs: Sequence[JobStatus]


async def read_status(
    database: Database, now: datetime, version: str, webhooks: WebhookAddress, platforms: Mapping[str, Platform] | None = None
) -> Status:
    """Read it; the number of statements grows with the connections, never with the leads.

    `platforms`: by destination name, what its connector says of itself.
    """
    theirs = await database.clock_ms()
    async with database.read() as connection:
        sources = await _sources(connection, now, webhooks)
        destinations = await _destinations(connection, now, platforms or {})
        jobs = [
            JobStatus(row["name"], from_ms(row["due_at"]), optional_from_ms(row["ran_at"]), row["failed"])
            for row in await queries.all_jobs(connection)
        ]
    return Status(
        version=version,
        now=now,
        database="sqlite" if database.is_sqlite else "postgresql",
        clock_skew_ms=None if theirs is None else theirs - to_ms(now),
        sources=sources,
        destinations=destinations,
        jobs=jobs,
    )


async def _sources(connection: AsyncConnection, now: datetime, webhooks: WebhookAddress) -> list[SourceStatus]:
    held = await versions_held(connection)
    cursors = await queries.all_cursors(connection)
    watched = await watches(connection)
    backfills = sorted(await backfills_of(connection), key=lambda row: row.kind)
    under_way = {row.source_id for row in backfills if not row.is_done}
    return [
        SourceStatus(
            name=row.name,
            kind=row.kind,
            mode=row.mode.value,
            pause=pause_of(row, now),
            mapping_version=held.get(row.id, VersionsHeld()).active,
            differs_from_file=bool(row.differs_from_file),
            mapping_differs_from_file=held.get(row.id, VersionsHeld()).differs_from_file,
            hints_waiting=await queries.waiting_hints(connection, row.id),
            polls=[_poll(cursor) for cursor in cursors if cursor["source_id"] == row.id],
            webhooks=_webhooks(watched.get(row.id)),
            backfill=[_backfill(one, now) for one in backfills if one.source_id == row.id and row.id in under_way],
            webhook_url=webhook_url(row, webhooks),
        )
        for row in await connections.list_sources(connection)
    ]


def _webhooks(watch: WebhookWatch | None) -> WebhookStatus | None:
    if watch is None:
        return None
    is_silent = watch.told_at is not None
    return WebhookStatus(
        events=watch.hints,
        last_at=optional_from_ms(watch.last_hint_at),
        found_by_poll=watch.found_by_poll,
        found_by_poll_in_all=watch.found_in_all,
        silent_since=optional_from_ms(watch.found_since) if is_silent else None,
        message=SILENCE_IN_WORDS if is_silent else None,
        mend=SILENCE_MEND if is_silent else None,
        subscribed_at=optional_from_ms(watch.kept_at),
        subscription_error=watch.kept_error,
    )


def webhook_url(row: SourceRow, webhooks: WebhookAddress) -> str | None:
    """What the vendor's webhooks call, None for a CRM without; a path alone where LEADLOOP_PUBLIC_URL is not set."""
    if row.kind not in webhooks.kinds or row.webhook_token is None:
        return None
    return f"{webhooks.public_url or ''}/webhooks/{row.name}/{row.webhook_token}"


def _poll(row: RowMapping) -> PollStatus:
    return PollStatus(
        object=row["object"],
        read_to=from_ms(row["settled_to"]),
        is_reading=row["resume"] is not None,
        next_poll_at=optional_from_ms(row["next_poll_at"]),
    )


def _backfill(row: BackfillRow, now: datetime) -> BackfillStatus:
    return BackfillStatus(
        object=row.kind.value,
        since=row.since,
        share=round(row.share(now), 4),
        seen=row.seen,
        records=row.records,
        conversions=row.conversions,
        moved_at=row.moved_at,
        failed=row.error,
    )


async def _destinations(connection: AsyncConnection, now: datetime, platforms: Mapping[str, Platform]) -> list[DestinationStatus]:
    rows = await connections.list_destinations(connection)
    codes = await unknown_codes(connection)
    pauses = await connections.target_pauses_of(connection, [row.id for row in rows])
    found = []
    for row in rows:
        platform = platforms.get(row.name)
        due, waiting, oldest = await queries.owed(connection, row.id, to_ms(now))
        found.append(
            DestinationStatus(
                name=row.name,
                kind=row.kind,
                mode=row.mode.value,
                pause=pause_of(row, now),
                differs_from_file=bool(row.differs_from_file),
                paused_targets=[target_status(pause) for pause in pauses.get(row.id, ())],
                owed=OwedStatus(due, waiting, optional_from_ms(oldest)),
                failed_last_day=await queries.failed_since(connection, row.id, to_ms(now - DAY)),
                rows=None if platform is None else _rows(row, platform),
                api_versions=[version_status(one, now) for one in platform.versions] if platform is not None else [],
                spend=_spend(row, platform),
                unknown_codes=[_code(one) for one in codes.get(row.id, ())],
            )
        )
    return found


def _rows(row: DestinationRow, platform: Platform) -> RowsStatus:
    most, now = platform.limits.rows, rows_now(platform.limits, row.batch_rows, row.adaptive_rows)
    if now >= most:
        return RowsStatus(most, now, None, None)
    if row.adaptive_rows == now:
        return RowsStatus(most, now, FEWER_ROWS, FEWER_ROWS_MEND)
    return RowsStatus(most, now, "An operator set fewer rows than the platform takes.", None)


def _spend(row: DestinationRow, platform: Platform | None) -> SpendStatus | None:
    if platform is None or Ability.SPEND not in platform.abilities:
        return None
    return spend_status(optional_from_ms(row.spend_read_at), row.spend_error)


def _code(one: UnknownCode) -> CodeStatus:
    return CodeStatus(one.code, one.times, from_ms(one.first_at), from_ms(one.last_at), UNKNOWN_CODE, UNKNOWN_CODE_MEND)


def pause_of(row: SourceRow | DestinationRow, now: datetime) -> Pause | None:
    """Why a connection stands still, None where it works."""
    if not row.is_paused(to_ms(now)):
        return None
    if row.pause_reason is None:
        return Pause("mode", None, MODE_MEND)
    until = optional_from_ms(row.paused_until)
    mend = CHECK_MEND if until is None else WAIT_MEND
    return Pause(row.pause_reason, until, REAUTH_MEND if row.pause_reason == NEEDS_REAUTH else mend)


def target_status(pause: TargetPause) -> TargetStatus:
    """A refused target, with what to do."""
    return TargetStatus(orjson.loads(pause.target), pause.code, from_ms(pause.since), CHECK_MEND)
