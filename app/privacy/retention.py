"""Retention: what is no longer needed goes by itself, a batch a transaction; what keeps a conversion from going twice stays."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from app.db.instants import to_ms
from app.db.session import Database
from app.ingest.erasing import clean_deals_of
from app.ingest.people import People
from app.ingest.pull_lease import lease_name
from app.leases.repository import lock_rows
from app.privacy import retention_repository as rows
from app.privacy.repository import LeadKeys

log = structlog.get_logger()

BATCH = 500


@dataclass(frozen=True, slots=True)
class Keeping:
    """For how long what is kept: people after the lead's last change, tries and the audit log after they were written."""

    people: timedelta
    tries: timedelta
    audit: timedelta


@dataclass(frozen=True, slots=True)
class Purged:
    """How much went."""

    people: int = 0
    tries: int = 0
    audit: int = 0


@dataclass(frozen=True, slots=True)
class Retention:
    """The nightly purge. It ends after the batch under way when the process stops, and goes on at the next run."""

    database: Database
    people: People
    keeping: Keeping
    stopping: asyncio.Event

    async def run(self, now: datetime) -> Purged:
        """Purge all that is old enough now."""
        purged = Purged(
            people=await self._people(to_ms(now - self.keeping.people)),
            tries=await self._tries(to_ms(now - self.keeping.tries)),
            audit=await self._audit(to_ms(now - self.keeping.audit)),
        )
        await self.database.wipe()
        log.info("retention.purged", people=purged.people, tries=purged.tries, audit=purged.audit)
        return purged

    async def _audit(self, before_ms: int) -> int:
        many, went = 0, BATCH
        while went == BATCH and not self.stopping.is_set():
            async with self.database.write() as connection:
                went = await rows.purge_audit(connection, before_ms, BATCH)
            many += went
        return many

    async def _tries(self, before_ms: int) -> int:
        many, after = 0, (0, 0)
        while not self.stopping.is_set():
            async with self.database.write() as connection:
                went, last = await rows.purge_tries(connection, before_ms, after, BATCH)
            many += went
            if last is None:
                break
            after = last
        return many

    async def _people(self, before_ms: int) -> int:
        """Looked at without a lock; who is stale is judged again under the locks of their sources."""
        many, after = 0, 0
        while not self.stopping.is_set():
            async with self.database.read() as connection:
                batch = await rows.next_leads(connection, after, BATCH)
                stale = await rows.stale_among(connection, [one.id for one in batch], before_ms) if batch else []
            if stale:
                many += await self._purge([one for one in batch if one.id in set(stale)], before_ms)
            if len(batch) < BATCH:
                break
            after = batch[-1].id
        return many

    async def _purge(self, leads: Sequence[LeadKeys], before_ms: int) -> int:
        async with self.database.write() as connection:
            await lock_rows(connection, [lease_name(one.source_id) for one in leads])
            still = set(await rows.stale_among(connection, [one.id for one in leads], before_ms))
            by_source: dict[int, set[int]] = defaultdict(set)
            for one in leads:
                if one.id in still:
                    by_source[one.source_id].add(one.id)
            for source_id, lead_ids in sorted(by_source.items()):
                await clean_deals_of(connection, self.people, source_id, lead_ids)
            if still:
                await rows.purge_leads(connection, sorted(still), self.people.keyring.seal(b"{}"))
        return len(still)
