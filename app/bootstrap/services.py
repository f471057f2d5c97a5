"""Settings become services: the one place where objects are built and the registry is opened."""

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
import orjson
import structlog

from app.bootstrap.bell import Bell
from app.bootstrap.contexts import Contexts, document_applier
from app.bootstrap.journal import Journal
from app.bootstrap.openers import Openers
from app.config import FileConfig, ProcessRole, Settings, load_file
from app.connections import repository as connections
from app.connections.file import ApplyReport, apply_file
from app.connections.repository import DestinationRow, Role, SourceRow
from app.connections.schema_codec import encode_schema
from app.connections.settings import resolve_settings
from app.db.instants import optional_ms, to_ms
from app.db.migrate import upgrade
from app.db.session import Database
from app.dispatch.dispatcher import Dispatcher
from app.dispatch.model import DrainSummary
from app.dispatch.verdicts import VerdictCollector
from app.ingest.people import People
from app.ingest.poller import TURN, Poller, Pulled
from app.ingest.recorder import Recorder
from app.leases.clock import ClockGuard
from app.outbox import repository as outbox
from app.outbox.policy import source_pause_until
from app.outbox.states import REASON_SENTENCES
from app.reports.status import WebhookAddress
from app.secrets import Keyring, load_fingerprints
from connectors.contract.conversions import Target
from connectors.contract.errors import ConnectorError
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.source import SourceSchema
from connectors.http.client import Hooks

log = structlog.get_logger()

MOST_ROUNDS = 1000


@dataclass(slots=True)
class SyncSummary:
    """What `sync` did, in numbers, and what is stuck."""

    records: int = 0
    conversions: int = 0
    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    requests: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_stuck(self) -> bool:
        """True where something needs a human."""
        return bool(self.problems)

    def text(self) -> str:
        """For a terminal."""
        lines = [
            f"records read {self.records}, new conversions {self.conversions}",
            f"deliveries sent {self.sent}, accepted {self.accepted}, rejected {self.rejected}, requests {self.requests}",
        ]
        return "\n".join(lines + [f"stuck: {problem}" for problem in self.problems])


@dataclass(slots=True)
class Services:
    """Everything that the doors (CLI, API, scheduler, demo) call."""

    settings: Settings
    database: Database
    keyring: Keyring
    clock: Callable[[], datetime]
    openers: Openers
    contexts: Contexts
    poller: Poller
    dispatcher: Dispatcher
    verdicts: VerdictCollector
    holder: str
    http: httpx.AsyncClient
    people: People
    journal: Journal
    bell: Bell = field(default_factory=Bell)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    guard: ClockGuard | None = None
    environ: Mapping[str, str] = field(repr=False, default_factory=dict)
    sentences: Mapping[str, str] = field(default_factory=lambda: {str(key): text for key, text in REASON_SENTENCES.items()})

    async def close(self) -> None:
        """Give everything back."""
        await self.http.aclose()
        await self.database.close()

    def webhook_address(self) -> WebhookAddress:
        """Where the webhooks of the sources arrive."""
        return WebhookAddress(self.settings.public_url, self.openers.kinds_with_webhooks())

    async def apply_file(self, path: Path, *, actor: str) -> ApplyReport:
        """Apply a config file: the CRMs are described first (network), then everything is stored in one transaction."""
        started = self.clock()
        config = load_file(path, self.environ)
        schemas = await self._describe(config)
        report = await apply_file(
            self.database,
            self.keyring,
            config,
            self.clock(),
            actor=actor,
            apply_mapping=document_applier(schemas, config, self.openers, self.clock(), actor),
            check_section=self.openers.check_section,
        )
        async with self.database.write() as connection:
            for name, schema in schemas.items():
                row = await connections.source_by_name(connection, name)
                if row is not None:
                    await connections.save_schema(
                        connection, row.id, encode_schema(schema), schema.account_ref, to_ms(self.clock())
                    )
        self.contexts.forget()
        await self.journal.applied(started, {"created": len(report.created), "changed": len(report.changed)})
        return report

    async def _describe(self, config: FileConfig) -> dict[str, SourceSchema]:
        schemas = {}
        for name, section in config.sources.items():
            if name in config.mappings and not self.openers.check_section(Role.SOURCE, name, section):
                settings = resolve_settings(
                    section.settings, self.environ, allow_custom_base_urls=self.settings.allow_custom_base_urls
                )
                schemas[name] = await self.openers.source(section.kind, settings).describe()
        return schemas

    async def pull(self, row: SourceRow, *, only_due: bool) -> Pulled:
        """Pull one source; a failed call pauses it as the failure says."""
        context = await self.contexts.of_source(row)
        if context is None:
            return Pulled()
        crm = self.openers.stored_source(row)
        try:
            pulled = await self.poller.pull(context, crm, only_due=only_due, budget=TURN if only_due else None)
        except ConnectorError as error:
            await self._pause_source(row, error)
            raise
        if pulled.has_more:
            self.bell.ring()
        return pulled

    async def _pause_source(self, row: SourceRow, error: ConnectorError) -> None:
        until = source_pause_until(error, self.clock())
        log.warning("source.paused", source=row.name, code=error.code, message=error.message)
        async with self.database.write() as connection:
            await connections.pause(connection, Role.SOURCE, row.id, error.code or type(error).__name__, optional_ms(until))

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
        summary = SyncSummary()
        if self.guard is not None and not await self.guard.is_in_time():
            summary.problems.append("this machine's clock differs from the database's by more than two seconds; set it (NTP)")
            return summary
        now_ms = to_ms(self.clock())
        for row in await self.sources() if ProcessRole.SCHEDULER in roles else ():
            if source not in (None, row.name) or (only_due and row.is_paused(now_ms)):
                continue
            try:
                pulled = await self.journal.of_pull(row.id, self.pull(row, only_due=only_due))
            except ConnectorError as error:
                summary.problems.append(f"{row.name}: {error.message}")
                continue
            summary.records += pulled.recorded.records
            summary.conversions += pulled.recorded.new_conversions
        if ProcessRole.WORKER not in roles:
            return summary
        async with self.database.read() as connection:
            destinations = await connections.list_destinations(connection)
            due = await outbox.due_at_destinations(connection, now_ms)
        for destination in destinations:
            if destination.is_paused(now_ms):
                summary.problems.append(f"{destination.name} is paused: {destination.pause_reason}")
                continue
            has_delivery, has_verdict = due[destination.id]
            drained = DrainSummary()
            if has_delivery:
                drained = await self.journal.of_drain(destination.id, self.dispatcher.drain(destination.id))
            if has_verdict and not self.stopping.is_set():
                await self.verdicts.collect(destination.id)
            if drained.failure:
                summary.problems.append(f"{destination.name}: {drained.failure}")
            summary.sent += drained.sent
            summary.accepted += drained.accepted
            summary.rejected += drained.rejected
            summary.requests += drained.requests
        return summary

    async def sync(self, source: str | None = None) -> SyncSummary:
        """Pull and send until nothing is due."""
        return await self.tick(only_due=False, source=source)

    async def check_all(self) -> Sequence[tuple[str, Sequence[Finding]]]:
        """Prove every connection; a clean check ends a pause."""
        results: list[tuple[str, Sequence[Finding]]] = []
        for row in await self.sources():
            found = await self.openers.stored_source(row).check()
            results.append((row.name, found))
            if all(finding.status is not FindingStatus.FAILED for finding in found):
                async with self.database.write() as connection:
                    await connections.resume(connection, Role.SOURCE, row.id)
        targets = await self.contexts.targets()
        for destination in await self.destinations():
            connector = self.openers.stored_destination(destination)
            chosen: Mapping[str, Target] = targets.get(destination.name, {})
            findings = await connector.check(chosen)
            results.append((destination.name, findings))
            if all(finding.status is not FindingStatus.FAILED for finding in findings):
                await self._resume(destination, chosen)
        return results

    async def _resume(self, row: DestinationRow, targets: Mapping[str, Target]) -> None:
        """A clean check ends the pauses that it disproved."""
        texts = [orjson.dumps(dict(target.settings), option=orjson.OPT_SORT_KEYS).decode() for target in targets.values()]
        async with self.database.write() as connection:
            await connections.resume(connection, Role.DESTINATION, row.id)
            await connections.resume_targets(connection, row.id, texts)


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
    openers = Openers(
        http,
        database,
        keyring,
        clock,
        environ,
        holder=holder,
        allow_custom_base_urls=settings.allow_custom_base_urls,
        hooks=hooks or Hooks(),
        sleep=sleep,
    )
    contexts = Contexts(database, openers, clock)
    people = People(keyring, fingerprints)
    stopping = asyncio.Event()
    recorder = Recorder(database, keyring, people, lambda _destinations: None)
    return Services(
        settings=settings,
        database=database,
        keyring=keyring,
        clock=clock,
        openers=openers,
        contexts=contexts,
        poller=Poller(database, recorder, holder, clock, is_stopping=stopping.is_set),
        dispatcher=Dispatcher(database, openers, keyring, clock, holder, contexts, sleep, is_stopping=stopping.is_set),
        verdicts=VerdictCollector(database, openers, clock),
        holder=holder,
        http=http,
        people=people,
        journal=Journal(database, clock),
        stopping=stopping,
        guard=ClockGuard(database, clock) if guards_clock else None,
        environ=environ,
    )
