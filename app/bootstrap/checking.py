"""Proving connections: what a check finds, and which pauses end by it. A CRM or platform that fails is a finding itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
import structlog

from app.bootstrap.contexts import Contexts
from app.bootstrap.failures import NameUnknown, mend_of, told
from app.bootstrap.openers import Openers
from app.bootstrap.unwise import unwise_in
from app.config import ConnectionMode
from app.connections import repository as connections
from app.connections.repository import DestinationRow, Role, SourceRow
from app.connections.schema_codec import encode_schema
from app.db.instants import optional_from_ms, to_ms
from app.db.session import Database
from app.ingest.context import SourceContext
from app.ingest.watch import SILENCE_IN_WORDS, SILENCE_MEND, watches
from app.reports.platforms import API_VERSION, Ability, VersionState, version_finding, version_status
from app.reports.spend_words import spend_status
from connectors.contract.conversions import Target
from connectors.contract.destination import SendsTestEvents
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.records import ObjectKind

log = structlog.get_logger()

TARGET = "target:"
MAPPING = "mapping"
SPEND, TEST_EVENT = "spend", "test_event"
# What a check may find wrong without a word against uploads.
HARMLESS = frozenset({API_VERSION, SPEND})
WEBHOOKS = "webhooks"
SUBSCRIPTION = "webhook_subscription"
SUBSCRIPTION_MEND = "give these credentials the right to manage webhooks; it is tried again every hour"

Checked = tuple[str, Sequence[Finding]]


class CheckRefused(Exception):
    """What was asked for cannot be checked; the message says what to ask for."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Checks connections one by one; each clean one ends its pause, whatever the others say."""

    database: Database
    openers: Openers
    contexts: Contexts
    clock: Callable[[], datetime]

    async def all(self) -> Sequence[Checked]:
        """Check every connection."""
        async with self.database.read() as connection:
            sources = await connections.list_sources(connection)
            destinations = await connections.list_destinations(connection)
        results = [await self._source(row) for row in sources]
        return results + [await self._destination(row) for row in destinations]

    async def named(self, name: str, test_code: str | None = None) -> Sequence[Checked]:
        """Check the connections of one name; with a test code, then send a test event to the destination: nothing else does.

        NameUnknown where there is none, CheckRefused where a test event is asked of a source.
        """
        sources, destinations = await self._by_name()
        if name not in sources and name not in destinations:
            raise NameUnknown("connection", name, {*sources, *destinations})
        if test_code is not None and name not in destinations:
            raise CheckRefused(f"{name!r} is a source; --test-event needs the name of a destination")
        if test_code is not None:
            return [await self._with_test_event(destinations[name], test_code)]
        results = [await self._source(sources[name])] if name in sources else []
        return results + ([await self._destination(destinations[name])] if name in destinations else [])

    async def one(self, role: Role, name: str, test_code: str | None = None) -> Sequence[Finding]:
        """Check the connection of this role and name, as `named` does. NameUnknown where there is none."""
        sources, destinations = await self._by_name()
        known = sources if role is Role.SOURCE else destinations
        if name not in known:
            raise NameUnknown(str(role), name, known)
        if role is Role.SOURCE:
            return (await self._source(sources[name]))[1]
        if test_code is None:
            return (await self._destination(destinations[name]))[1]
        return (await self._with_test_event(destinations[name], test_code))[1]

    async def _by_name(self) -> tuple[Mapping[str, SourceRow], Mapping[str, DestinationRow]]:
        async with self.database.read() as connection:
            sources = {row.name: row for row in await connections.list_sources(connection)}
            return sources, {row.name: row for row in await connections.list_destinations(connection)}

    async def paused(self) -> Sequence[Checked]:
        """Check what stands still until a check: connections that were refused, and destinations with a refused target."""
        async with self.database.read() as connection:
            sources = [row for row in await connections.list_sources(connection) if _awaits_a_check(row)]
            destinations = await connections.list_destinations(connection)
            refused = await connections.target_pauses_of(connection, [row.id for row in destinations])
        standing = [
            row for row in destinations if _awaits_a_check(row) or (row.id in refused and row.mode is not ConnectionMode.PAUSED)
        ]
        results = [await self._source(row) for row in sources]
        results += [await self._destination(row) for row in standing]
        for name, findings in results:
            failed = [one.subject for one in findings if one.status is FindingStatus.FAILED]
            log.info("connection.checked", connection=name, failed=failed)
        return results

    async def _source(self, row: SourceRow) -> Checked:
        findings: list[Finding] = []
        kinds: frozenset[ObjectKind] = frozenset()
        try:
            context = await self.contexts.of_source(row)
            kinds = frozenset() if context is None else frozenset(context.selection.objects)
            findings += [] if context is None else await self._unwise(context)
        except Exception as error:  # noqa: BLE001 a mapping that cannot be read is a finding; the CRM can be asked all the same
            findings.append(_failed(MAPPING, error))
        try:
            findings += await self.openers.stored_source(row).check(kinds)
        except Exception as error:  # noqa: BLE001 whatever is wrong with one connection, the others are checked
            findings.append(_failed("connection", error))
        if not _failures(findings):
            findings += await self._described(row)
        if not _failures(findings):
            async with self.database.write() as connection:
                await connections.resume(connection, Role.SOURCE, row.id)
        return row.name, [*findings, *await self._webhooks(row)]

    async def _unwise(self, context: SourceContext) -> list[Finding]:
        """What is legal but unwise in the active mapping, as stages and delays stand now."""
        async with self.database.read() as connection:
            found = await unwise_in(connection, self.openers, context.id, context.document)
        return [Finding(f"{MAPPING}.{one.path}", FindingStatus.WARNING, one.message) for one in found]

    async def describe_all(self) -> None:
        """Read the schema of every described source that may be asked now; one that fails keeps what is stored of it."""
        now_ms = to_ms(self.clock())
        async with self.database.read() as connection:
            rows = await connections.list_sources(connection)
        for row in rows:
            if row.is_paused(now_ms):
                continue
            for finding in await self._described(row) if row.schema_json is not None else ():
                log.warning("source.not_described", source=row.name, message=finding.message)

    async def _described(self, row: SourceRow) -> list[Finding]:
        """Store what the CRM says of its account now; what is wrong with that."""
        try:
            schema = await self.openers.stored_source(row).describe()
            text = encode_schema(schema)
            if (text, schema.account_ref) != (row.schema_json, row.account_ref):
                async with self.database.write() as connection:
                    await connections.save_schema(connection, row.id, text, schema.account_ref, to_ms(self.clock()))
                log.info("source.described", source=row.name)
        except Exception as error:  # noqa: BLE001 as below
            return [_failed("schema", error)]
        return []

    async def _webhooks(self, row: SourceRow) -> list[Finding]:
        """Whether they have fallen silent, or cannot be subscribed to; neither keeps the source from being read."""
        async with self.database.read() as connection:
            watch = (await watches(connection)).get(row.id)
        if watch is None:
            return []
        findings = []
        if watch.told_at is not None:
            findings.append(Finding(WEBHOOKS, FindingStatus.FAILED, SILENCE_IN_WORDS, SILENCE_MEND))
        if watch.kept_error is not None:
            findings.append(Finding(SUBSCRIPTION, FindingStatus.FAILED, watch.kept_error, SUBSCRIPTION_MEND))
        return findings

    async def _destination(self, row: DestinationRow) -> Checked:
        findings: list[Finding] = []
        targets: Mapping[str, Target] = {}
        is_known = False
        try:
            targets, is_known = (await self.contexts.targets()).get(row.name, {}), True
        except Exception as error:  # noqa: BLE001 as above
            findings.append(_failed(MAPPING, error))
        try:
            findings += await self.openers.stored_destination(row).check(targets)
        except Exception as error:  # noqa: BLE001 as above
            findings.append(_failed("connection", error))
        await self._resume(row, targets if is_known else None, _failures(findings) - {MAPPING} - HARMLESS)
        return row.name, [*findings, *self._beside(row)]

    def _beside(self, row: DestinationRow) -> list[Finding]:
        """What is known without asking: versions whose end is near, and whether the account's spend could be read."""
        if not self.openers.knows(row.kind):
            return []
        platform, now = self.openers.platform(row), self.clock()
        states = [version_status(one, now) for one in platform.versions]
        findings = [version_finding(one) for one in states if one.state is not VersionState.IN_USE]
        if Ability.SPEND in platform.abilities and row.spend_error is not None:
            spend = spend_status(optional_from_ms(row.spend_read_at), row.spend_error)
            status = FindingStatus.UNPROVEN if spend.lacks_account else FindingStatus.FAILED
            findings.append(Finding(SPEND, status, row.spend_error, spend.mend or ""))
        return findings

    async def _with_test_event(self, row: DestinationRow, code: str) -> Checked:
        """A check, and where it is clean but for targets, one test event for each target."""
        name, findings = await self._destination(row)
        failed = {one for one in _failures(findings) - HARMLESS if not one.startswith(TARGET)}
        if Ability.TEST_EVENTS not in self.openers.abilities(row.kind):
            said = (
                f"{row.kind} has no test events: nothing was sent, and nothing but a real conversion proves more than this check"
            )
            return name, [*findings, Finding(TEST_EVENT, FindingStatus.UNPROVEN, said)]
        if failed:
            said = "no test event was sent, because the check failed"
            return name, [*findings, Finding(TEST_EVENT, FindingStatus.UNPROVEN, said, "mend what failed, and ask again")]
        try:
            targets = (await self.contexts.targets()).get(row.name, {})
            connector = self.openers.stored_destination(row)
            sent = await connector.send_test_event(code, targets) if isinstance(connector, SendsTestEvents) and targets else ()
        except Exception as error:  # noqa: BLE001 as above
            return name, [*findings, _failed(TEST_EVENT, error)]
        if not sent:
            said = "no test event was sent: no mapping sends anything here"
            return name, [*findings, Finding(TEST_EVENT, FindingStatus.UNPROVEN, said, "map a milestone to it, and ask again")]
        return name, [*findings, *sent]

    async def _resume(self, row: DestinationRow, targets: Mapping[str, Target] | None, failed: frozenset[str]) -> None:
        """A target's failure holds back the target only; what no mapping names any more is held back by nothing."""
        if any(not subject.startswith(TARGET) for subject in failed):
            return
        async with self.database.write() as connection:
            await connections.resume(connection, Role.DESTINATION, row.id)
            if targets is not None:
                refused = {_text(target) for name, target in targets.items() if f"{TARGET}{name}" in failed}
                await connections.resume_other_targets(connection, row.id, sorted(refused))


def _awaits_a_check(row: SourceRow | DestinationRow) -> bool:
    return row.mode is not ConnectionMode.PAUSED and row.pause_reason is not None and row.paused_until is None


def _failures(findings: Sequence[Finding]) -> frozenset[str]:
    return frozenset(one.subject for one in findings if one.status is FindingStatus.FAILED)


def _failed(subject: str, error: Exception) -> Finding:
    return Finding(subject, FindingStatus.FAILED, told(error), mend_of(error))


def _text(target: Target) -> str:
    return orjson.dumps(dict(target.settings), option=orjson.OPT_SORT_KEYS).decode()
