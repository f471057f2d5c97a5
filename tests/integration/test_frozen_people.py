"""For whom a delivery goes again once it was tried, while the people of its deal change."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, update

from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import conversions, deal_people, deliveries, identities, leads, records
from app.ingest.repository import merge_leads
from connectors.contract.conversions import UploadRow
from connectors.contract.errors import Effect, Unavailable
from connectors.contract.results import Accepted, UploadResult
from tests.integration.test_dispatch import NOW, TARGET, Late, World, world_of

DEAL = 90
NO_ANSWER = Unavailable("no answer", effect=Effect.UNKNOWN)


class Hears(Late):
    """A platform that remembers whose identifiers came; its first request gets no answer."""

    def __init__(self) -> None:
        super().__init__(lambda rows: [Accepted()] * len(rows))
        self.heard: list[str] = []

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        self.heard += [value for row in rows for value in row.identifiers.values()]
        if len(self.heard) == 1:
            raise NO_ANSWER
        return [Accepted()] * len(rows)

    async def adjust(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        return await self.upload(rows, now)


async def tried_for_first(database: Database) -> tuple[World, Hears]:
    """A deal with the persons 1 (primary) and 2; its upload was tried for 1 and not answered."""
    world = await world_of(database, lambda rows: [Accepted()] * len(rows), 2)
    world.fake = hears = Hears()
    async with database.write() as connection:
        await connection.execute(delete(deliveries).where(deliveries.c.id == 2))
        for number in (1, 2):
            sealed = f'{{"email_sha256":"person{number}"}}'.encode()
            await connection.execute(update(identities).where(identities.c.id == number).values(sealed=sealed))
        at = to_ms(NOW)
        record = {"id": DEAL, "source_id": 1, "object": "deal", "external_id": "90", "state": "live", "modified_at": at}
        await insert_rows(connection, records, [{**record, "fields_sealed": b""}])
        links = [{"deal_id": DEAL, "person_id": n, "label": "", "primary": n == 1, "since": at} for n in (1, 2)]
        await insert_rows(connection, deal_people, links)
        mine = {"scope_kind": "deal", "scope_key": "90", "record_id": DEAL, "lead_id": None}
        await connection.execute(update(conversions).where(conversions.c.id == 1).values(**mine))
    await world.drain()
    world.clock.now = NOW.replace(hour=14)
    return world, hears


async def unlink(database: Database, *persons: int) -> None:
    async with database.write() as connection:
        await connection.execute(delete(deal_people).where(deal_people.c.person_id.in_(persons)))


async def test_a_repeat_goes_for_the_first_person_though_they_left_the_deal(database: Database) -> None:
    """The platform may have it for them; a repeat with the same id must be the same, under their own consent."""
    world, platform = await tried_for_first(database)
    await unlink(database, 1)

    await world.drain()

    assert platform.heard == ["person1", "person1"]


async def test_a_repeat_does_not_go_on_another_person_s_consent(database: Database) -> None:
    """They left the deal and took their consent back: the other's consent must not send their e-mail."""
    world, platform = await tried_for_first(database)
    await unlink(database, 1)
    async with database.write() as connection:
        await connection.execute(update(leads).where(leads.c.id == 1).values(consent="denied,denied"))

    await world.drain()

    assert platform.heard == ["person1"]
    assert (await world.rows())["ll1"][:2] == ("skipped", "no_consent")


async def test_a_person_merged_after_the_first_try_is_the_survivor(database: Database) -> None:
    """A merge deletes the lead under its old number; what it was tried with now belongs to the survivor."""
    world, platform = await tried_for_first(database)
    await unlink(database, 1, 2)
    async with database.write() as connection:
        await merge_leads(connection, {1: 2})

    await world.drain()

    assert platform.heard == ["person1", "person1"]
    assert (await world.rows())["ll1"][0] == "accepted"


async def test_a_correction_of_a_deal_without_people_goes_for_whom_it_was_sent(database: Database) -> None:
    """A deal loses its contacts and is then lost: the platform must be told of the person that it knows."""
    world, platform = await tried_for_first(database)
    await world.drain()
    await unlink(database, 1, 2)
    async with database.write() as connection:
        at = to_ms(NOW)
        row = {"id": 7, "source_id": 1, "conversion_id": 1, "destination_id": 1, "kind": "restate", "seq": 1}
        row |= {"state": "pending", "reason": "new", "due_at": at, "deadline_at": at + 9**10, "target": TARGET, "created_at": at}
        await insert_rows(connection, deliveries, [row])
        await connection.execute(update(deliveries).where(deliveries.c.id == 1).values(state="confirmed"))

    await world.drain()

    assert platform.heard == ["person1"] * 3
