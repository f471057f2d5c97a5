"""Ids: nobody else has them, and on PostgreSQL nobody waits for them."""

import asyncio
from itertools import pairwise

import pytest
from sqlalchemy import inspect, text

from app.db.ids import IdBlock, take_ids
from app.db.migrate import downgrade, upgrade
from app.db.session import Database
from app.ingest.inbox import put_hints, waiting_hints
from connectors.contract.records import ObjectKind, RecordRef

ON_POSTGRESQL = pytest.mark.parametrize("database_kind", ["postgresql"])


async def _take(database: Database, *counts: int) -> list[range]:
    async with database.write() as connection:
        return [range(first, first + count) for count in counts for first in [await take_ids(connection, count)]]


def _are_apart(taken: list[range]) -> bool:
    return all(one.stop <= other.start for one, other in pairwise(sorted(taken, key=lambda one: one.start)))


async def test_blocks_of_ids_do_not_overlap(database: Database) -> None:
    """Ids are taken in blocks of any size by many processes; the largest are larger than a step of the sequence."""
    taken = await _take(database, 1, 5, 10_000, 1, 25_000, 2, 1)

    assert taken[0].start == 1
    assert _are_apart(taken)


async def test_ids_of_one_transaction_follow_each_other(database: Database) -> None:
    """A page reserves what it usually needs in one round trip; what goes beyond is in a row as well."""
    async with database.write() as connection:
        block = IdBlock(connection, 20)
        taken = [range(first, first + count) for count in (5, 15, 10_001, 3) for first in [await block.take(count)]]

    assert [one.start for one in taken[:2]] == [1, 6]
    assert _are_apart(taken)


@ON_POSTGRESQL
async def test_large_blocks_that_are_taken_at_once_are_apart_and_in_a_row(database: Database) -> None:
    """Several steps of the sequence are one block only where no other process took one in between."""
    taken = await asyncio.gather(*(_take(database, *[30_000] * 10) for _ in range(6)))

    assert _are_apart([one for each in taken for one in each])


@ON_POSTGRESQL
async def test_nobody_waits_for_ids_until_anothers_commit(database: Database) -> None:
    """A page is written for a second: neither another source nor a webhook may wait for it, nor deadlock with it."""
    async with database.write() as first:
        page = await take_ids(first, 500)
        async with asyncio.timeout(5), database.write() as second:
            hints = await take_ids(second, 5)
            await put_hints(second, 1, [RecordRef(ObjectKind.DEAL, "9")], 0)

    assert abs(page - hints) >= 500


@ON_POSTGRESQL
@pytest.mark.parametrize("taken_before", [(), (7, 123_456)])
async def test_ids_go_on_above_all_that_were_taken_when_migrating_either_way(
    database: Database, database_url: str, taken_before: tuple[int, ...]
) -> None:
    """An id that is given twice is a row that is lost; older replicas still take theirs from the table meanwhile."""
    old = text(
        "INSERT INTO id_blocks (name, next_id) VALUES ('all', :count + 1) "
        "ON CONFLICT (name) DO UPDATE SET next_id = id_blocks.next_id + :count RETURNING next_id - :count"
    )

    async def take_old(count: int) -> range:
        async with database.write() as connection:
            first = int(await connection.scalar(old, {"count": count}) or 0)
        return range(first, first + count)

    await downgrade(database_url, "0004")
    taken = [await take_old(count) for count in taken_before]
    await upgrade(database_url)
    taken += await _take(database, 5, 20_000)
    if taken_before:
        taken.append(await take_old(9))
    await downgrade(database_url, "0004")
    taken.append(await take_old(100))
    await upgrade(database_url)
    taken += await _take(database, 1)

    assert _are_apart(taken)


async def test_the_oldest_hints_are_read_by_an_index(database: Database) -> None:
    """A flood of a million hints is read in batches; sorting all of them for each batch would take longer than the fetch."""
    async with database.write() as connection:
        await put_hints(connection, 1, [RecordRef(ObjectKind.DEAL, str(one)) for one in range(3)], 0)
        assert [hint.ref.external_id for hint in await waiting_hints(connection, 1, 2)] == ["0", "1"]
        indexes = await connection.run_sync(lambda sync: inspect(sync).get_indexes("inbox"))

    assert [index["column_names"] for index in indexes] == [["source_id", "hint_at", "seq"]]
