"""Settings become services: the one place where objects are built and the registry is opened."""

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from importlib import metadata
from pathlib import Path

import httpx
import structlog
from prometheus_client import CollectorRegistry

from app.bootstrap.applying import Applying
from app.bootstrap.backfilling import Backfills
from app.bootstrap.bell import Bell
from app.bootstrap.checking import Checks
from app.bootstrap.connecting import Connecting
from app.bootstrap.contexts import Contexts
from app.bootstrap.journal import Journal
from app.bootstrap.keeping_keys import Keys
from app.bootstrap.mapping_versions import MappingVersions
from app.bootstrap.openers import Openers
from app.bootstrap.planning import Planning
from app.bootstrap.previewing import Previews
from app.bootstrap.provisioning import Provisioning
from app.bootstrap.rates_keeping import RatesKeeping
from app.bootstrap.reapplying import Reapplies
from app.bootstrap.rounds import Rounds, SyncSummary
from app.bootstrap.spend_keeping import SpendKeeping
from app.bootstrap.spend_reading import SpendReading
from app.bootstrap.subscriptions import Subscriptions
from app.bootstrap.value_fits import ValueFits
from app.bootstrap.writing_back import WriteBacks
from app.config import ProcessRole, Settings
from app.connections import repository as connections
from app.connections.file import ApplyReport
from app.connections.repository import DestinationRow, Role, SourceRow
from app.db.migrate import upgrade
from app.db.session import Database
from app.dispatch.dispatcher import Dispatcher
from app.dispatch.verdicts import VerdictCollector
from app.ingest.backfill import Backfiller
from app.ingest.people import People
from app.ingest.poller import Poller, Pulled
from app.ingest.reapply import Reapplier
from app.ingest.recorder import Recorded, Recorder
from app.leases.clock import ClockGuard
from app.privacy.retention import Keeping, Retention
from app.privacy.rotation import Rotation
from app.privacy.sweeping import Sweeping
from app.reports.platforms import Platform, VersionState, version_status
from app.reports.status import Status, WebhookAddress, read_status
from app.secrets import Keyring, load_fingerprints
from app.telemetry.metrics import Metrics
from connectors.contract.findings import Finding
from connectors.http.client import Hooks

log = structlog.get_logger()

MOST_DAYS_KEPT = 36_500


@dataclass(slots=True)
class Services:
    """Everything that the doors (CLI, API, scheduler, demo) call."""

    settings: Settings
    database: Database
    keyring: Keyring
    clock: Callable[[], datetime]
    openers: Openers
    contexts: Contexts
    recorder: Recorder
    poller: Poller
    dispatcher: Dispatcher
    verdicts: VerdictCollector
    holder: str
    http: httpx.AsyncClient
    people: People
    journal: Journal
    applying: Applying
    backfills: Backfills
    metrics: Metrics
    bell: Bell = field(default_factory=Bell)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    guard: ClockGuard | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    environ: Mapping[str, str] = field(repr=False, default_factory=dict)

    async def close(self) -> None:
        """Give everything back."""
        await self.http.aclose()
        await self.database.close()

    def webhook_address(self) -> WebhookAddress:
        """Where the webhooks of the sources arrive."""
        return WebhookAddress(self.settings.public_url, self.openers.kinds_with_webhooks())

    async def apply_file(self, path: Path, *, actor: str, waits: bool = False) -> ApplyReport:
        """Apply a config file. `waits`: what a CRM that fails keeps from being applied is tried again by `go_on_applying`."""
        return await self.applying.apply(path, actor=actor, waits=waits)

    async def go_on_applying(self, now: datetime) -> None:
        """A job: try again what waits for a CRM since the start."""
        await self.applying.go_on(now)

    async def pull(self, row: SourceRow, *, only_due: bool) -> Pulled:
        """Pull one source; a failed call pauses it as the failure says."""
        return await self._rounds().pull(row, only_due=only_due)

    async def sources(self) -> list[SourceRow]:
        """All sources."""
        async with self.database.read() as connection:
            return await connections.list_sources(connection)

    async def destinations(self) -> list[DestinationRow]:
        """All destinations."""
        async with self.database.read() as connection:
            return await connections.list_destinations(connection)

    async def tick(
        self, *, only_due: bool = True, source: str | None = None, roles: Collection[ProcessRole] = tuple(ProcessRole)
    ) -> SyncSummary:
        """One round: pull what is due (`scheduler`), send what is owed and ask for late verdicts (`worker`)."""
        return await self._rounds().tick(only_due=only_due, source=source, roles=roles)

    async def sync(self, source: str | None = None) -> SyncSummary:
        """Pull and send until nothing is due now, then tell the CRM; SourceUnknown where no source has this name."""
        await self.sweeping().run()
        await self.value_fits().run(self.clock())
        summary = await self._rounds().sync(source)
        await self.write_backs().turn(source)
        return summary

    def keys(self) -> Keys:
        """The keys of the API."""
        key = self.settings.api_key
        return Keys(self.database, self.clock, None if key is None else key.get_secret_value())

    def mapping_versions(self) -> MappingVersions:
        """The versions of every source's mapping."""
        return MappingVersions(self.database, self.clock, self.openers, self.contexts)

    def sweeping(self) -> Sweeping:
        """What erases people by tombstones of a file, and reads and writes such files."""
        return Sweeping(self.database, self.people, self.clock)

    def rotation(self) -> Rotation:
        """What seals everything again under the newest key."""
        return Rotation(self.database, self.keyring, self.clock)

    def retention(self) -> Retention:
        """What purges by age."""
        chosen = (self.settings.keep_people_days, self.settings.keep_tries_days, self.settings.keep_audit_days)
        keeping = Keeping(*(timedelta(days=min(days, MOST_DAYS_KEPT)) for days in chosen))
        return Retention(self.database, self.people, keeping, self.stopping)

    def planning(self) -> Planning:
        """What says what applying a config file would do."""
        return Planning(self.database, self.openers)

    def connecting(self) -> Connecting:
        """What makes and changes connections."""
        return Connecting(self.database, self.keyring, self.clock, self.openers, self.contexts, self.bell)

    def previews(self) -> Previews:
        """What shows what a version would do."""
        return Previews(
            self.database,
            self.clock,
            self.openers,
            self.contexts,
            self.mapping_versions(),
            self.recorder,
            self.holder,
            self.sleep,
        )

    def reapplies(self) -> Reapplies:
        """What runs a version again over what is stored."""
        reapplier = Reapplier(self.database, self.recorder, self.holder, self.clock, is_stopping=self.stopping.is_set)
        versions = self.mapping_versions()
        return Reapplies(self.database, self.clock, self.contexts, versions, reapplier, self.journal, self.bell)

    def rates(self) -> RatesKeeping:
        """What keeps the currency rates."""
        return RatesKeeping(self.database, self.clock, self.contexts, self.bell)

    def value_fits(self) -> ValueFits:
        """What learns values from our own history."""
        return ValueFits(self.database, self.clock, self.contexts)

    def spend(self) -> SpendKeeping:
        """What keeps spend that no account reports."""
        return SpendKeeping(self.database, self.clock)

    def write_backs(self) -> WriteBacks:
        """What tells the CRMs what became of their records."""
        return WriteBacks(self.database, self.clock, self.openers, self.contexts, self.holder, self.stopping)

    def _rounds(self) -> Rounds:
        return Rounds(
            self.database,
            self.clock,
            self.openers,
            self.contexts,
            self.poller,
            self.dispatcher,
            self.verdicts,
            self.backfills,
            self.reapplies(),
            self.journal,
            self.bell,
            self.stopping,
            self.guard,
            self.sleep,
            self.metrics,
        )

    async def check_all(self) -> Sequence[tuple[str, Sequence[Finding]]]:
        """Prove every connection; a clean check ends a pause."""
        return await self._checks().all()

    async def check_named(self, name: str, test_code: str | None = None) -> Sequence[tuple[str, Sequence[Finding]]]:
        """Prove the connections of one name; `test_code` then sends a test event, which the platform does not count."""
        return await self._checks().named(name, test_code)

    async def check_one(self, role: Role, name: str, test_code: str | None = None) -> Sequence[Finding]:
        """Prove one connection; NameUnknown where there is none of this role and name."""
        return await self._checks().one(role, name, test_code)

    async def check_paused(self, _now: datetime) -> None:
        """A job: prove what stands still until a check, so that it goes on by itself once the credentials are mended."""
        await self._checks().paused()

    async def describe_sources(self, _now: datetime) -> None:
        """A job: read what the CRMs' accounts hold now, so that new stages and properties are known without a restart."""
        await self._checks().describe_all()

    async def keep_webhooks(self, _now: datetime) -> None:
        """A job: make webhook subscriptions again that a CRM took away."""
        keeper = Subscriptions(self.database, self.clock, self.openers, self.contexts, self.bell)
        await keeper.keep(self.webhook_address())

    async def platforms(self) -> Mapping[str, Platform]:
        """By destination, what its platform takes and can; without a kind that this release does not know."""
        return {row.name: self.openers.platform(row) for row in await self.destinations() if self.openers.knows(row.kind)}

    async def status(self) -> Status:
        """How things stand now."""
        address = self.webhook_address()
        return await read_status(self.database, self.clock(), metadata.version("leadloop"), address, await self.platforms())

    async def warn_of_versions(self) -> None:
        """Log every API version in use whose last day is near or past."""
        for name, platform in (await self.platforms()).items():
            for version in platform.versions:
                status = version_status(version, self.clock())
                if status.state is not VersionState.IN_USE:
                    log.warning("api_version.ending", destination=name, message=status.message, mend=status.mend)

    def provisioning(self) -> Provisioning:
        """What creates at a platform what the mappings need there."""
        return Provisioning(self.database, self.clock, self.openers, self.contexts)

    def spend_reading(self) -> SpendReading:
        """What reads the spend of the accounts that report it."""
        return SpendReading(self.database, self.clock, self.openers, self.stopping, self.sleep)

    def _checks(self) -> Checks:
        return Checks(self.database, self.openers, self.contexts, self.clock)


async def open_services(
    settings: Settings,
    *,
    clock: Callable[[], datetime],
    environ: Mapping[str, str],
    http: httpx.AsyncClient | None = None,
    hooks: Hooks | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    guards_clock: bool = False,
) -> Services:
    """Build everything from settings; the schema is brought up to date first.

    `guards_clock`: take no lease while `clock` differs from the database's. Not for a simulated clock.
    """
    keyring = Keyring.from_texts(settings.secret_texts())
    await upgrade(settings.database_url)
    database = Database(settings.database_url)
    fingerprints = await load_fingerprints(database, keyring)
    http = http or httpx.AsyncClient(follow_redirects=False)
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    custom = settings.allow_custom_base_urls
    metrics = Metrics(CollectorRegistry())
    hooks = hooks or Hooks(metrics.on_request)
    openers = Openers(
        http, database, keyring, clock, environ, holder=holder, allow_custom_base_urls=custom, hooks=hooks, sleep=sleep
    )
    contexts = Contexts(database, openers, clock)
    journal = Journal(database, clock)
    applying = Applying(database, keyring, clock, environ, openers, contexts, journal, allows_custom_base_urls=custom)
    people = People(keyring, fingerprints)
    stopping = asyncio.Event()
    recorder = Recorder(database, keyring, people, lambda _destinations: None, partial(_count_recorded, metrics))
    backfiller = Backfiller(database, recorder, holder, clock, is_stopping=stopping.is_set)
    bell = Bell()
    return Services(
        settings=settings,
        database=database,
        keyring=keyring,
        clock=clock,
        openers=openers,
        contexts=contexts,
        recorder=recorder,
        poller=Poller(database, recorder, holder, clock, is_stopping=stopping.is_set),
        dispatcher=Dispatcher(
            database, openers, keyring, clock, holder, contexts, sleep, fingerprint=fingerprints.of, is_stopping=stopping.is_set
        ),
        verdicts=VerdictCollector(database, openers, clock),
        holder=holder,
        http=http,
        people=people,
        journal=journal,
        applying=applying,
        metrics=metrics,
        backfills=Backfills(database, clock, openers, contexts, backfiller, journal, bell),
        bell=bell,
        stopping=stopping,
        guard=ClockGuard(database, clock) if guards_clock else None,
        sleep=sleep,
        environ=environ,
    )


def _count_recorded(metrics: Metrics, source: str, recorded: Recorded) -> None:
    metrics.on_recorded(source, records=recorded.records, entries=recorded.entries, conversions=recorded.new_conversions)
