"""Reapplying a mapping as a use case: asked for by a person, carried on turn by turn beside the polls, followed by all others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.access.repository import add_audit
from app.bootstrap.bell import Bell
from app.bootstrap.contexts import Contexts
from app.bootstrap.journal import REAPPLY, Journal
from app.bootstrap.mapping_versions import MappingVersions, VersionChanged
from app.connections.repository import SourceRow
from app.db.instants import to_ms
from app.db.session import Database
from app.ingest import reapply_repository as repository
from app.ingest.backfill import TurnLimits
from app.ingest.poller import Pulled
from app.ingest.reapply import Reapplier
from app.ingest.reapply_repository import ReapplyRow
from app.mapping import repository as mappings

log = structlog.get_logger()


class ReapplyRefused(Exception):
    """What is stored does not suffice; the message says what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Reapplies:
    """Asks for reapplies, carries them on, and tells how they stand."""

    database: Database
    clock: Callable[[], datetime]
    contexts: Contexts
    versions: MappingVersions
    reapplier: Reapplier
    journal: Journal
    bell: Bell

    async def ask(self, source: str, version: int, *, restates: bool, actor: str) -> ReapplyRow:
        """Run the active version again over all that is stored; one that goes on already with the same order is that one.

        Nothing is sent twice by it. With `restates` the values of what was counted follow the version, and are restated where
        the platform can. Raises VersionUnknown, VersionChanged where the version is not active, ReapplyRefused.
        """
        row, _, active = await self.versions.stored(source, version)
        if version != active:
            said = "no version is active" if active is None else f"version {active} is active"
            raise VersionChanged(f"{said}; activate version {version} first, then it can be reapplied")
        unread = await self.versions.unread(source, version)
        if unread:
            raise ReapplyRefused(
                f"version {version} reads what is not stored of: {', '.join(unread)}; run a backfill, which reads it and applies "
                "the version as it goes"
            )
        now = self.clock()
        async with self.database.write() as connection:
            before = await repository.reapply_of(connection, row.id)
            if before is not None and before.is_open and (before.version, before.restates) == (version, restates):
                return before
            asked = await repository.begin_reapply(connection, row.id, version, restates=restates, requested_by=actor, now=now)
            detail = {"version": version, "restates": restates}
            await add_audit(connection, actor=actor, action="mapping.reapply", subject=source, detail=detail, now_ms=to_ms(now))
        self.bell.ring()
        return asked

    async def state(self, source: str) -> ReapplyRow | None:
        """How the newest reapply of a source stands, None where there never was one. Raises VersionUnknown."""
        row = await self.versions.source(source)
        async with self.database.read() as connection:
            return await repository.reapply_of(connection, row.id)

    async def waiting(self) -> Sequence[ReapplyRow]:
        """Those that go on."""
        async with self.database.read() as connection:
            return await repository.open_reapplies(connection)

    async def turn(self, row: SourceRow, reapply: ReapplyRow, limits: TurnLimits | None = None) -> Pulled:
        """One turn, noted in the journal. One of a version that is not active any more is given up."""
        return await self.journal.of_pull(row.id, self._turn(row, reapply, limits), kind=REAPPLY)

    async def finish(self, source: str) -> ReapplyRow | None:
        """Carry a source's reapply on to its end, here and now, as far as no other process has its lease."""
        row = await self.versions.source(source)
        while (state := await self.state(source)) is not None and state.is_open:
            pulled = await self.turn(row, state)
            if pulled.is_busy:
                break
        return await self.state(source)

    async def _turn(self, row: SourceRow, reapply: ReapplyRow, limits: TurnLimits | None) -> Pulled:
        async with self.database.read() as connection:
            active = await mappings.active(connection, row.id)
        context = await self.contexts.of_source(row)
        if active is None or active.version != reapply.version or context is None:
            why = f"version {'none' if active is None else active.version} is active by now"
            async with self.database.write() as connection:
                await repository.give_up_reapply(connection, row.id, reapply.run_id, why, self.clock())
            return Pulled()
        if context.facts.mapping_version != reapply.version:
            return Pulled(has_more=True)  # the context is a moment old; the next turn has the new one
        usual = TurnLimits(is_wanted_elsewhere=lambda: self.bell.is_rung)
        pulled = await self.reapplier.turn(context, reapply, limits or usual)
        if pulled.pages and not pulled.has_more:
            log.info("reapply.done", source=row.name, version=reapply.version)
        return pulled
