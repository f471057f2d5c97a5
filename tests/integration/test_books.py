import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import event, text

from app.db.session import Database
from app.outbox.states import DeliveryState, Reason
from app.reports.books import BooksQuery, books
from app.reports.books_model import OWES_NOTHING
from app.reports.funnel_model import ReportRefused
from app.reports.snapshot import snapshot
from tests.integration.reports_rig import Rig

NOVEMBER = BooksQuery(since=date(2026, 11, 1), until=date(2026, 11, 30))
GOOGLE, META = 7, 8
TARGETS: Mapping[str, Mapping[str, object]] = {
    "google": {"won": {"a": "1"}, "lead": None},
    "meta": {"won": {"a": "1"}, "lead": {"a": "1"}},
}
STANDING = [
    ("accepted", "delivered"),
    ("confirmed", "confirmed"),
    ("unmatched", "unmatched"),
    ("shadowed", "shadow"),
    ("skipped", "no_consent"),
    ("rejected", "refused"),
    ("expired", "deadline"),
    ("uncertain", "unknown_effect"),
    ("pending", "retry"),
    ("sending", "sent"),
]


@pytest.fixture
async def rig(database: Database) -> Rig:
    rig = Rig(database)
    await rig.source()
    await rig.destination(GOOGLE, "google")
    await rig.destination(META, "meta")
    await rig.mapping(TARGETS)
    return rig


async def test_every_state_and_reason_is_accounted_for(rig: Rig) -> None:
    """Found = accepted + ... + waiting for each milestone, destination and day: the sum a finance person checks by hand."""
    for state, reason in STANDING:
        won = await rig.reach(None, "won", "11-05")
        await rig.deliver(won, GOOGLE, state, reason)
        await rig.deliver(won, META, "accepted", "delivered")
    found = await books(rig.database, NOVEMBER)

    google, meta = found.rows
    assert (google.milestone, google.destination, google.day, google.found) == ("won", "google", date(2026, 11, 5), 10)
    assert google.uploads == dict.fromkeys(STANDING, 1)
    assert (google.accounted, google.waiting, google.is_balanced) == (10, 2, True)
    assert (meta.found, meta.uploads) == (10, {("accepted", "delivered"): 10})
    assert found.is_balanced


async def test_days_are_utc_days_of_the_conversion(rig: Rig) -> None:
    """A conversion of 23:59 and one of 00:00 stand on two pages; those outside the span on none."""
    midnight = 1_795_910_400_000  # 2026-11-29 00:00 UTC
    for instant in (midnight - 1, midnight, midnight + 86_400_000 - 1, midnight + 2 * 86_400_000):
        await rig.deliver(await rig.reach(None, "won", "11-05", occurred_at=instant), GOOGLE, "accepted", "delivered")
    found = await books(rig.database, replace(NOVEMBER, destination="google"))

    assert {row.day: row.found for row in found.rows} == {date(2026, 11, 28): 1, date(2026, 11, 29): 2}
    assert found.by_milestone()[0].found == 3


async def test_implied_ones_owe_nothing_and_say_so(rig: Rig) -> None:
    """They have no delivery; without a word for it the books would have a hole for each jump in a pipeline."""
    await rig.deliver(await rig.reach(None, "won", "11-05"), GOOGLE, "accepted", "delivered")
    await rig.reach(None, "won", "11-05", implied=True)
    found = await books(rig.database, replace(NOVEMBER, destination="google"))

    assert found.rows[0].uploads == {("accepted", "delivered"): 1, ("skipped", "implied"): 1}
    assert (found.rows[0].found, found.is_balanced) == (2, True)
    await rig.mapping(TARGETS, version=2, won="send")
    await rig.reach(None, "won", "11-05", implied=True, mapping_version=2)
    assert not (await books(rig.database, replace(NOVEMBER, destination="google"))).is_balanced, "implied: send owes one"


async def test_what_the_mapping_did_not_name_at_its_time_owes_nothing(rig: Rig) -> None:
    """A destination that came later is owed from then on; a milestone that went is not owed any more."""
    await rig.mapping({"google": {"lead": {"a": "1"}}, "meta": {"lead": {"a": "1"}}}, version=2)
    early = await rig.reach(None, "lead", "11-05", mapping_version=1)
    await rig.deliver(early, META, "accepted", "delivered")
    late = await rig.reach(None, "lead", "11-06", mapping_version=2)
    for destination in (GOOGLE, META):
        await rig.deliver(late, destination, "accepted", "delivered")
    gone = await rig.reach(None, "won", "11-05", mapping_version=1)
    await rig.deliver(gone, GOOGLE, "skipped", "unmapped")
    found = await books(rig.database, NOVEMBER)

    delivered = {("accepted", "delivered"): 1}
    assert [(row.destination, row.milestone, row.day and row.day.day, row.uploads) for row in found.rows] == [
        ("google", "lead", 5, {("skipped", "not_named"): 1}),
        ("google", "lead", 6, delivered),
        ("google", "won", 5, {("skipped", "unmapped"): 1}),
        ("meta", "lead", 5, delivered),
        ("meta", "lead", 6, delivered),
    ]
    assert found.is_balanced


async def test_a_conversion_that_was_never_owed_is_found_out(rig: Rig) -> None:
    """The loss that nobody would notice: recorded, named by the mapping, and no delivery at all."""
    await rig.deliver(await rig.reach(None, "won", "11-05"), GOOGLE, "accepted", "delivered")
    lost = await rig.reach(None, "won", "11-06")
    await rig.deliver(lost, META, "accepted", "delivered")
    found = await books(rig.database, replace(NOVEMBER, destination="google"))

    assert [str(one) for one in found.imbalances] == ["2026-11-06 won at google: 1 found, with no delivery and no reason for it"]
    assert [(row.found, row.accounted, row.is_balanced) for row in found.rows] == [(1, 1, True), (1, 0, False)]
    assert not found.by_milestone()[0].is_balanced


async def test_a_second_upload_of_one_conversion_is_found_out(rig: Rig) -> None:
    """Counted twice at the platform; a loss beside it must not hide it in the sum."""
    won = await rig.reach(None, "won", "11-05")
    await rig.deliver(won, GOOGLE, "accepted", "delivered")
    await rig.deliver(won, GOOGLE, "accepted", "delivered", seq=1)
    await rig.reach(None, "won", "11-05")
    found = await books(rig.database, replace(NOVEMBER, destination="google"))

    assert found.rows[0].found == found.rows[0].accounted == 2
    assert not found.rows[0].is_balanced
    assert sorted(one.message.split(":")[0] for one in found.imbalances) == [
        "found, with no delivery and no reason for it",
        "more uploads than conversions",
    ]


@pytest.mark.parametrize(
    ("state", "reason", "due_at", "told"),
    [
        ("pending", "retry", None, "waiting without a due time"),
        ("sending", "sent", None, "waiting without a due time"),
        ("accepted", "delivered", 5, "settled and still due"),
        ("skipped", "because", None, "skipped without a reason that anybody knows (because)"),
        ("skipped", "", None, "skipped without a reason that anybody knows (none)"),
        ("vanished", "new", None, "in a state that nobody knows (vanished)"),
    ],
)
async def test_what_would_never_move_again_is_found_out(rig: Rig, state: str, reason: str, due_at: int | None, told: str) -> None:
    """A row that no claim will ever see is lost though it is there; a settled one that is due goes out twice."""
    await rig.deliver(await rig.reach(None, "won", "11-05"), GOOGLE, state, reason, due_at=due_at)
    found = await books(rig.database, replace(NOVEMBER, destination="google"))

    assert len(found.imbalances) == 1
    assert told in found.imbalances[0].message


async def test_corrections_stand_in_columns_of_their_own(rig: Rig) -> None:
    """A restatement is no second conversion."""
    won = await rig.reach(None, "won", "11-05", live=False)
    await rig.deliver(won, GOOGLE, "confirmed", "confirmed")
    await rig.deliver(won, GOOGLE, "accepted", "delivered", kind="restate", seq=1)
    await rig.deliver(won, GOOGLE, "pending", "new", kind="retract", seq=2)
    found = await books(rig.database, replace(NOVEMBER, destination="google"))

    assert found.rows[0].uploads == {("confirmed", "confirmed"): 1}
    assert found.rows[0].corrections == {"restate": {("accepted", "delivered"): 1}, "retract": {("pending", "new"): 1}}
    assert (found.rows[0].found, found.is_balanced) == (1, True)
    assert found.by_milestone()[0].corrections == found.rows[0].corrections


async def test_two_sources_share_a_page(rig: Rig) -> None:
    """One destination is told by two CRMs; a filter shows the part of one."""
    await rig.source(2, "other")
    await rig.deliver(await rig.reach(None, "won", "11-05"), GOOGLE, "accepted", "delivered")
    await rig.deliver(await rig.reach(None, "won", "11-05", source_id=2), GOOGLE, "accepted", "delivered")

    assert (await books(rig.database, replace(NOVEMBER, destination="google"))).rows[0].found == 2
    assert (await books(rig.database, replace(NOVEMBER, destination="google", source="other"))).rows[0].found == 1
    with pytest.raises(ReportRefused, match="known are: crm, other"):
        await books(rig.database, replace(NOVEMBER, source="absent"))
    with pytest.raises(ReportRefused, match="swap"):
        await books(rig.database, BooksQuery(since=date(2026, 11, 2), until=date(2026, 11, 1)))


def test_every_word_of_the_books_is_told_apart() -> None:
    """A reason of the books that is also a delivery's would hide one in the other."""
    assert not set(OWES_NOTHING) & set(Reason)
    assert Counter(STANDING).total() == len(DeliveryState)


async def test_the_books_are_read_from_one_moment(rig: Rig) -> None:
    """Beside a server that records and sends: two statements that see two moments would cry wolf."""
    async with snapshot(rig.database) as connection:
        first = await connection.scalar(text("SELECT count(*) FROM conversions"))
        await asyncio.wait_for(rig.reach(None, "won", "11-05"), 5)
        assert await connection.scalar(text("SELECT count(*) FROM conversions")) == first


async def test_the_books_cost_the_same_number_of_statements_however_many_rows(rig: Rig) -> None:
    """None for each day or milestone."""
    statements: list[str] = []
    event.listen(rig.database._reader.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    counts = []
    for day in ("11-05", "11-06", "11-07"):
        await rig.deliver(await rig.reach(None, "won", day), GOOGLE, "accepted", "delivered")
        statements.clear()
        await books(rig.database, NOVEMBER)
        counts.append(len(statements))

    assert len(set(counts)) == 1
    assert counts[0] <= 11
