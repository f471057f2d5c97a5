"""What a platform has and what the CRM says now: withdrawals, revivals, restatements, on both databases."""

import asyncio

from sqlalchemy import select, update

from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import deliveries
from app.mapping.rates import Rates
from connectors.contract.records import RecordState
from tests.integration.recorder_rig import LEASE, contact, day, deal, world_of

RETRACTS = {"qualified_lead": {"on_leave": "retract"}}


async def test_a_deal_deleted_and_restored_before_it_was_sent_is_owed_again(database: Database) -> None:
    """As if never deleted: the upload that was withdrawn untried is due again."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    await world.record(deal("202", state=RecordState.DELETED, people=None))
    gone = await world.owed("closed_revenue")

    await world.record(deal("202", (3, "won"), amount="5"))

    assert gone == [("upload", "skipped", "withdrawn")]
    assert await world.facts("closed_revenue") == [("202", True, None)]
    assert await world.owed("closed_revenue") == [("upload", "pending", "new")]


async def test_a_retract_that_was_not_sent_yet_is_given_up_when_the_deal_comes_back(database: Database) -> None:
    """What the platform has is right again: nothing must be taken back."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    await world.settle()
    await world.record(deal("202", state=RecordState.DELETED, people=None))
    standing = await world.owed("closed_revenue")

    await world.record(deal("202", (3, "won"), amount="5"))

    assert standing == [("upload", "accepted", "delivered"), ("retract", "pending", "new")]
    assert await world.owed("closed_revenue") == [("upload", "accepted", "delivered"), ("retract", "skipped", "superseded")]


async def test_after_a_sent_retract_only_a_later_entry_revives_as_the_next_occurrence(database: Database) -> None:
    """The platform has deleted it under this id: a second upload under it would be dropped."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    await world.settle()
    await world.record(deal("202", state=RecordState.DELETED, people=None))
    await world.settle("retract")

    await world.record(deal("202", (3, "won"), amount="5", modified=31))
    restored = await world.facts("closed_revenue")
    await world.record(deal("202", (3, "won"), (32, "lost"), (33, "won"), amount="5", modified=34))

    assert restored == [("202", False, "deleted")]
    assert [(row["occurrence"], row["live"]) for row in await world.conversions("closed_revenue")] == [(0, False), (1, True)]


async def test_a_restatement_follows_what_was_sent(database: Database) -> None:
    """Unsent values need none; one untried correction stands at most; a value that comes back needs none after all."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    await world.record(deal("202", (3, "won"), amount="6", modified=31))
    assert await world.owed("closed_revenue") == [("upload", "pending", "new")]
    await world.settle()

    await world.record(deal("202", (3, "won"), amount="7", modified=32))
    await world.record(deal("202", (3, "won"), amount="8", modified=33))
    superseded = ("restate", "skipped", "superseded")
    assert (await world.owed("closed_revenue"))[1:] == [superseded, ("restate", "pending", "new")]
    await world.record(deal("202", (3, "won"), amount="6", modified=34))
    assert (await world.owed("closed_revenue"))[1:] == [superseded] * 2
    await world.record(deal("202", (3, "won"), amount="9", modified=35))
    await world.record(deal("202", (3, "won"), (36, "lost"), amount="9", modified=36))

    assert (await world.owed("closed_revenue"))[1:] == [*[superseded] * 3, ("retract", "pending", "new")]


async def test_a_correction_past_the_platform_s_window_is_told_as_unsupported(database: Database) -> None:
    """The reports must show that the platform keeps a wrong value."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    await world.settle()
    world.now = day(200)

    await world.record(deal("202", (3, "won"), amount="7", modified=190))
    await world.record(contact("102"), deal("202", (3, "won"), amount="7", people=("102",), modified=191))

    assert (await world.owed("closed_revenue"))[1:] == [("restate", "skipped", "unsupported")], "once for each change"


async def test_a_value_that_waited_for_a_rate_goes_when_rates_come(database: Database) -> None:
    """Rates are imported later than deals are won; nobody touches the deal again."""
    model = {"model": "field", "field": "deal.amount", "currency": "USD"}
    world = await world_of(database, {"closed_revenue": {"value": model}})
    await world.record(contact("101"), deal("202", (3, "won"), amount="5", currency="EUR"))
    waiting = (await world.conversions("closed_revenue"))[0]

    rates = Rates({(day(2).date(), "EUR", "USD"): 1_100_000}, 4)
    first, _ = await world.recorder.revalue(world.source, world.now, LEASE, rates=rates)

    now = (await world.conversions("closed_revenue"))[0]
    assert (waiting["value_state"], now["value_state"], now["amount_micros"]) == ("rate", "ready", 5_500_000)
    assert first.revalued == 1
    assert (await world.recorder.revalue(world.source, world.now, LEASE, rates=rates))[0].revalued == 0


async def test_a_sale_lost_while_its_upload_is_on_its_way_is_taken_back(database: Database) -> None:
    """The dispatcher claimed it a moment before the loss was recorded: the platform will count what is no sale."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    lost = deal("202", (3, "won"), (9, "lost"), amount="5", modified=31)

    async with database.write() as connection:
        await connection.execute(update(deliveries).where(deliveries.c.state == "pending").values(state="sending", frozen=True))
        recording = asyncio.create_task(world.record(lost))
        await asyncio.sleep(0.3)
    await recording

    assert await world.owed("closed_revenue") == [("upload", "sending", "new"), ("retract", "pending", "new")]


async def test_a_value_that_comes_wakes_what_waited_for_it(database: Database) -> None:
    """The amount is often filled after the deal is won."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won")))
    async with database.write() as connection:
        await connection.execute(update(deliveries).values(reason="value", due_at=to_ms(day(80))))

    await world.record(deal("202", (3, "won"), amount="5", modified=31))

    async with database.read() as connection:
        due = (await connection.execute(select(deliveries.c.due_at).where(deliveries.c.reason == "new"))).scalars().all()
    assert to_ms(world.now) in due


async def test_a_lost_try_that_waits_is_not_withdrawn_as_if_it_had_never_gone(database: Database) -> None:
    """Put back after a lost answer it looks as new as on its first day, but the platform may have it."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    async with database.write() as connection:
        await connection.execute(update(deliveries).values(first_unknown_at=1))

    await world.record(deal("202", (3, "won"), (9, "lost"), amount="5", modified=31))

    assert await world.owed("closed_revenue") == [("upload", "pending", "new"), ("retract", "pending", "new")]


async def test_a_value_that_changes_after_a_try_of_no_effect_needs_no_correction(database: Database) -> None:
    """The platform refused the token: it has nothing to correct, and the upload will carry the new value."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    async with database.write() as connection:
        await connection.execute(update(deliveries).values(tries=1, reason="retry"))

    await world.record(deal("202", (3, "won"), amount="6", modified=31))

    assert [row[0] for row in await world.owed("closed_revenue")] == ["upload"]


async def test_a_value_that_changes_while_its_upload_waits_in_a_claim_is_restated(database: Database) -> None:
    """Claimed with the old amount, its request not begun: it goes with that, and nobody else would tell the new one."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    async with database.write() as connection:
        left_over = {"sent_amount_micros": 6_000_000, "sent_currency": "EUR"}  # of a try of no effect
        await connection.execute(update(deliveries).values(state="sending", **left_over))

    await world.record(deal("202", (3, "won"), amount="6", modified=31))

    assert await world.owed("closed_revenue") == [("upload", "sending", "new"), ("restate", "pending", "new")]


async def test_a_value_that_changes_while_a_claim_reads_the_old_one_is_restated(database: Database) -> None:
    """The recorder saw it pending, the dispatcher claims it in the same moment: each would leave it to the other."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))
    worth_more = deal("202", (3, "won"), amount="6", modified=31)

    async with database.write() as connection:
        await connection.execute(update(deliveries).where(deliveries.c.state == "pending").values(state="sending"))
        recording = asyncio.create_task(world.record(worth_more))
        await asyncio.sleep(0.3)
    await recording

    assert await world.owed("closed_revenue") == [("upload", "sending", "new"), ("restate", "pending", "new")]


async def test_what_a_claim_skips_while_its_person_changes_is_judged_again(database: Database) -> None:
    """Consent comes while the dispatcher judges by the old one: skipped, and nothing would ever wake it."""
    world = await world_of(database)
    await world.record(contact("101"), deal("202", (3, "won"), amount="5"))

    async with database.write() as connection:
        skipped = {"state": "skipped", "reason": "no_consent", "due_at": None, "settled_at": to_ms(world.now)}
        await connection.execute(update(deliveries).where(deliveries.c.state == "pending").values(**skipped))
        recording = asyncio.create_task(world.record(contact("101", email="ann@x.example", modified=31)))
        await asyncio.sleep(0.3)
    await recording

    assert await world.owed("closed_revenue") == [("upload", "pending", "new")]
