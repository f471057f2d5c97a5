"""Pipedrive's instants are whole seconds: what happens within one second is kept in its order, and nothing of it is lost."""

from datetime import timedelta

from connectors.contract.records import ObjectKind, RecordRef
from tests.wire.pipedrive.fake_company import NOW
from tests.wire.pipedrive.history_rig import ADDED, HOUR, SELECTION, Rig

MS = timedelta(milliseconds=1)


async def test_two_moves_in_one_second_keep_their_order() -> None:
    """An automation moves a deal on at once: by value alone the later stage would seem the earlier one."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    await rig.poll()

    rig.move(5, ADDED + HOUR)
    rig.move(3, ADDED + HOUR)
    await rig.poll()

    assert rig.entries("stage_id") == [("1", ADDED), ("5", ADDED + HOUR), ("3", ADDED + HOUR + MS)]


async def test_a_second_move_in_the_second_of_a_stored_one_comes_after_it() -> None:
    """The first was read before the second happened; a later reading of the whole changelog says the same."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    rig.move(5, ADDED + HOUR)
    await rig.poll()
    rig.move(3, ADDED + HOUR)
    rig.company.rows["deals"][1]["title"] = "Another"
    rig.company.now += timedelta(minutes=1)

    rig.store.versions.clear()
    await rig.poll()
    told = rig.entries("stage_id")
    rig.store.newest.clear()
    await rig.poll()

    assert told == [("1", ADDED), ("5", ADDED + HOUR), ("3", ADDED + HOUR + MS)]
    assert rig.entries("stage_id") == told


async def test_cheap_readings_within_one_second_keep_their_order() -> None:
    """Without a changelog the row tells of the same second twice."""
    rig = Rig(history="cheap")
    rig.company.deal(1, ADDED)
    rig.move(5, ADDED + HOUR)
    await rig.poll()
    rig.move(3, ADDED + HOUR)
    rig.store.versions.clear()

    await rig.poll()

    assert rig.entries("stage_id") == [("5", ADDED + HOUR), ("3", ADDED + HOUR + MS)]


async def test_a_move_in_the_second_of_the_poll_is_found_by_the_next() -> None:
    """The row's modification is the same before and after: taken for unchanged, the move would be lost for good."""
    rig = Rig()
    rig.company.deal(1, NOW, added=ADDED)
    await rig.poll()

    rig.move(2, NOW)
    rig.company.now += timedelta(minutes=5)
    records = await rig.poll()

    assert [value for value, _ in rig.entries("stage_id")] == ["1", "2"]
    assert [record.modified_at for record in records] == [NOW]
    assert await rig.poll() == []


async def test_a_move_in_the_second_of_a_webhooks_reading_is_found_by_the_next_poll() -> None:
    """The webhook of the first move is fast, that of the second is lost: the row looks as it did when it was read."""
    rig = Rig()
    rig.company.deal(1, ADDED)
    await rig.poll()
    rig.move(2, NOW)
    rig.store.take(await rig.source.fetch([RecordRef(ObjectKind.DEAL, "1")], SELECTION, rig.store.stored()))

    rig.move(3, NOW)
    rig.company.now += timedelta(minutes=5)
    await rig.poll()

    assert rig.entries("stage_id") == [("1", ADDED), ("2", NOW), ("3", NOW + MS)]
    assert await rig.poll() == []
