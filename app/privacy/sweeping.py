"""Tombstones that came by a file: written out, read in, and whoever they bar is erased from what a backup brought back."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.repository import add_audit
from app.db.instants import to_ms
from app.db.session import Database
from app.ingest.erasing import Erased, erase_leads, note_forgotten
from app.ingest.people import People
from app.privacy import repository as privacy
from app.privacy import sweep_repository as sweeps
from app.privacy.marks import Mark
from app.privacy.tombstone_file import TombstonesRefused, foot_line, head_line, read_lines, write_lines
from app.privacy.tombstone_repository import forgotten_among, page_of_tombstones, put_back

log = structlog.get_logger()

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Imported:
    """How many tombstones the file held, how many were new, and what was erased by them."""

    read: int
    new: int
    erased: Erased


@dataclass(frozen=True, slots=True)
class Sweeping:
    """Erases everybody who has a tombstone. It goes on where it was cut off, at the next start at the latest."""

    database: Database
    people: People
    clock: Callable[[], datetime]

    async def export(self, path: Path, *, actor: str) -> int:
        """Write every tombstone into a new file; how many. TombstonesRefused where there is a file already."""
        count, after = 0, None
        try:
            with path.open("xb") as file:
                file.write(head_line(self.people.marks.key_check, self.clock()))
                while True:
                    async with self.database.read() as connection:
                        page = await page_of_tombstones(connection, after, BATCH)
                    file.writelines(write_lines(page))
                    count += len(page)
                    if len(page) < BATCH:
                        break
                    after = page[-1][0]
                file.write(foot_line(count))
        except OSError as error:
            raise TombstonesRefused(f"{path} cannot be written: {error.strerror or type(error).__name__}") from error
        async with self.database.write() as connection:
            await self._note(connection, actor, "tombstones.export", {"tombstones": count})
        return count

    async def take_in(self, path: Path, *, actor: str) -> Imported:
        """Set every tombstone of the file, all or none, then erase whoever they bar. TombstonesRefused where it is damaged."""
        read = new = 0
        try:
            with path.open("rb") as file:
                stones = read_lines(file, self.people.marks.key_check)
                async with self.database.write() as connection:
                    while batch := list(islice(stones, BATCH)):
                        new += await put_back(connection, batch)
                        read += len(batch)
                    await sweeps.begin(connection)
                    await self._note(connection, actor, "tombstones.import", {"tombstones": read, "new": new})
        except OSError as error:
            raise TombstonesRefused(f"{path} cannot be read: {error.strerror or type(error).__name__}") from error
        return Imported(read, new, await self.run())

    async def run(self) -> Erased:
        """Go through all leads, a batch a transaction, where a file was read in since the last time; nothing otherwise."""
        erased = Erased()
        async with self.database.read() as connection:
            place = await sweeps.place(connection)
        if place is None:
            return erased
        while place is not None:
            async with self.database.write() as connection:
                place = await sweeps.place(connection)
                if place is None:
                    break
                batch = await privacy.page_of_leads(connection, place, BATCH)
                if batch:
                    erased += await self._erase(connection, batch)
                place = batch[-1].id if batch else None
                await sweeps.move(connection, place)
        await self.database.wipe()
        log.info("tombstones.swept", leads=erased.leads, records=erased.records, deliveries=erased.deliveries)
        return erased

    async def _erase(self, connection: AsyncConnection, batch: list[privacy.LeadKeys]) -> Erased:
        by_mark = await self._marks(connection, batch)
        found = await forgotten_among(connection, by_mark)
        lead_ids = sorted({lead_id for mark in found for lead_id in by_mark[mark]})
        if not lead_ids:
            return Erased()
        now_ms = to_ms(self.clock())
        erased = await erase_leads(connection, self.people, lead_ids, now_ms)
        await note_forgotten(connection, actor="tombstones", way="import", erased=erased, now_ms=now_ms)
        return erased

    async def _marks(self, connection: AsyncConnection, batch: list[privacy.LeadKeys]) -> dict[Mark, set[int]]:
        """By what a tombstone would know each of these leads."""
        marks, found = self.people.marks, defaultdict[Mark, set[int]](set)
        for one in batch:
            if one.email_hmac is not None:
                found[marks.of_email(one.email_hmac)].add(one.id)
            elif one.phone_hmac is not None:
                found[marks.of_phone(one.phone_hmac)].add(one.id)
        ids = [one.id for one in batch]
        for lead_id, source_id, ref in await privacy.records_of_leads(connection, ids):
            found[marks.of_record(source_id, ref)].add(lead_id)
        for lead_id, _, sealed in await privacy.sealed_of_leads(connection, ids):
            for mark in self._clicks(sealed):
                found[mark].add(lead_id)
        return found

    def _clicks(self, sealed: bytes) -> Iterable[Mark]:
        return self.people.marks.of_identifiers(self.people.identifiers_if_readable(sealed))

    async def _note(self, connection: AsyncConnection, actor: str, action: str, detail: dict[str, object]) -> None:
        now_ms = to_ms(self.clock())
        await add_audit(connection, actor=actor, action=action, subject="tombstones", detail=detail, now_ms=now_ms)
