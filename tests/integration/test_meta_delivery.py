"""The dispatcher, real connectors and simulated platforms together: bad rows, lost answers, throttles."""

from datetime import timedelta
from math import log2

import pytest

from app.db.session import Database
from connectors.simulators.faults import Fault, garbage, path_has, reset, server_error, timeout
from connectors.simulators.google import GooglePlatform
from connectors.simulators.meta import GraphError, MetaPlatform, Throttle
from tests.integration.delivery_rig import ACTION, EVENT_NAME, NOW, Found, owed_to_google, owed_to_meta, uid_of

MOST_EXTRA = 2 * log2(1000) + 2
ACCEPTED = Found("accepted", "delivered", 1, "")
LOST = [timeout(has_effect=True), reset(has_effect=True), server_error(has_effect=True), garbage(has_effect=True)]


def counted_by_meta(platform: MetaPlatform, number: int) -> int:
    return platform.ledger.times_counted(EVENT_NAME, uid_of(number))


def counted_by_google(platform: GooglePlatform, number: int) -> int:
    entries = platform.ledger.entries.items()
    return sum(entry.times_counted for key, entry in entries if uid_of(number) in key and ACTION in key)


@pytest.mark.parametrize(("bad", "batch_rows"), [(1, 1000), (500, None), (1000, 1000)])
async def test_one_bad_row_in_a_thousand_costs_its_neighbours_some_requests_only(
    database: Database, bad: int, batch_rows: int | None
) -> None:
    """Meta refuses them all and names none: 999 conversions must not wait, nor be sent twice, for one that is wrong."""
    async with owed_to_meta(database, 1000) as (owed, platform):
        owed.batch_rows = batch_rows
        platform.refuses[uid_of(bad)] = GraphError("Invalid parameter", 100, 2804048)
        without = 1 if batch_rows else 1000 // owed.connector.limits.rows

        summary = await owed.drain()

        found = await owed.found()
        assert found.pop(uid_of(bad)) == Found("rejected", "refused", 1, "100/2804048")
        assert set(found.values()) == {ACCEPTED}
        assert summary.requests == platform.calls["events"]
        assert summary.requests - without <= MOST_EXTRA
        assert counted_by_meta(platform, bad) == 0
        assert {entry.times_counted for entry in platform.ledger.entries.values()} == {1}
        assert len(platform.ledger.entries) == 999

        owed.clock.now += timedelta(days=1)
        assert (await owed.drain()).requests == 0, "a rejected row is not tried again"


async def test_an_unknown_code_frees_the_neighbours_and_keeps_the_row(database: Database) -> None:
    """A code that nobody has seen may pass; only the row that it concerns waits and counts a try."""
    async with owed_to_meta(database, 100) as (owed, platform):
        platform.refuses[uid_of(7)] = GraphError("Something new", 4242)

        await owed.drain()
        found = await owed.found()
        assert found.pop(uid_of(7)) == Found("pending", "retry", 1, "4242")
        assert set(found.values()) == {ACCEPTED}

        platform.refuses.clear()
        owed.clock.now += timedelta(minutes=2)
        await owed.drain()
        assert (await owed.found())[uid_of(7)].state == "accepted"


async def test_one_bad_row_of_google_costs_one_more_request(database: Database) -> None:
    """Google refuses the whole request too, but names the row."""
    async with owed_to_google(database, 1000, foreign=500) as (owed, platform):
        owed.batch_rows = 1000

        summary = await owed.drain()

        found = await owed.found()
        assert found.pop(uid_of(500)) == Found("rejected", "refused", 1, "INVALID_AD_IDENTIFIER_FOR_ACCOUNT")
        assert set(found.values()) == {ACCEPTED}
        assert summary.requests == 2
        assert counted_by_google(platform, 500) == 0
        assert {counted_by_google(platform, number) for number in (1, 499, 501, 1000)} == {1}


@pytest.mark.parametrize("fault", LOST, ids=["timeout", "reset", "503", "garbage"])
async def test_an_answer_of_meta_lost_50_hours_ago_is_left_to_a_person(database: Database, fault: Fault) -> None:
    """Meta forgets an id after 48 hours: sent again, the conversion would count twice."""
    async with owed_to_meta(database, 3) as (owed, platform):
        owed.plan.script(fault, when=path_has("/events"))
        await owed.drain()
        assert {one.state for one in (await owed.found()).values()} == {"pending"}

        owed.clock.now += timedelta(hours=50)
        summary = await owed.drain()

        assert {(one.state, one.reason) for one in (await owed.found()).values()} == {("uncertain", "unknown_effect")}
        assert (summary.requests, platform.calls["events"]) == (0, 1)
        assert [counted_by_meta(platform, number) for number in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.parametrize("hours", [1, 47])
async def test_an_answer_of_meta_lost_inside_its_window_is_sent_again_and_counted_once(database: Database, hours: int) -> None:
    """The same id and name within 48 hours are one conversion, whether the first try arrived or not."""
    async with owed_to_meta(database, 3) as (owed, platform):
        owed.plan.script(timeout(has_effect=True), timeout(), when=path_has("/events"))
        await owed.drain()
        owed.clock.now += timedelta(hours=hours)
        await owed.drain()
        owed.clock.now += timedelta(minutes=5)
        await owed.drain()

        assert {one.state for one in (await owed.found()).values()} == {"accepted"}
        assert [counted_by_meta(platform, number) for number in (1, 2, 3)] == [1, 1, 1]
        assert (platform.calls["events"], platform.duplicates) == (2, 3)


async def test_an_answer_of_google_lost_50_hours_ago_is_sent_again_and_counted_once(database: Database) -> None:
    """Google knows a transaction id for ever, so nobody need decide."""
    async with owed_to_google(database, 3) as (owed, platform):
        owed.plan.script(timeout(has_effect=True), when=path_has("events:ingest"))
        await owed.drain()
        owed.clock.now += timedelta(hours=50)
        await owed.drain()

        assert {one.state for one in (await owed.found()).values()} == {"accepted"}
        assert len(platform.taken) == 2
        assert [counted_by_google(platform, number) for number in (1, 2, 3)] == [1, 1, 1]


async def test_a_dropped_event_settles_nothing_and_is_not_counted_twice(database: Database) -> None:
    """200 with a smaller count: nobody knows which row is missing, and the id keeps the others from counting again."""
    async with owed_to_meta(database, 3) as (owed, platform):
        platform.drops.add(uid_of(2))
        summary = await owed.drain()
        assert {one.state for one in (await owed.found()).values()} == {"pending"}
        assert summary.failure

        platform.drops.clear()
        owed.clock.now += timedelta(hours=1)
        await owed.drain()

        assert {one.state for one in (await owed.found()).values()} == {"accepted"}
        assert [counted_by_meta(platform, number) for number in (1, 2, 3)] == [1, 1, 1]


async def test_a_dead_token_costs_no_try_and_no_search(database: Database) -> None:
    """A thousand conversions wait for a new token; none is rejected for it."""
    async with owed_to_meta(database, 1000) as (owed, platform):
        platform.tokens["good"].expires_at = NOW

        summary = await owed.drain()

        assert {(one.state, one.counted) for one in (await owed.found()).values()} == {("pending", 0)}
        assert (summary.requests, summary.paused_until) == (1, None)
        assert "190/463" in summary.failure


async def test_the_drain_stops_before_meta_throttles(database: Database) -> None:
    """The headers tell when the allowance is nearly used; a throttled call would bar the account's other tools."""
    async with owed_to_meta(database, 1000) as (owed, platform):
        owed.batch_rows = 50
        platform.throttle = Throttle(per_hour=10)

        summary = await owed.drain()

        states = [one.state for one in (await owed.found()).values()]
        assert (states.count("accepted"), states.count("pending")) == (400, 600)
        assert platform.calls["events"] == 8
        assert summary.paused_until == NOW + timedelta(minutes=5)
        assert {one.counted for one in (await owed.found()).values() if one.state == "pending"} == {0}


async def test_a_lead_of_an_old_click_still_counts_at_meta(database: Database) -> None:
    """Meta's seven days are the event's: a deal that is won months after its click is what bidding is to learn from."""
    async with owed_to_meta(database, 1, NOW - timedelta(days=120)) as (owed, platform):
        await owed.drain()

        assert (await owed.found())[uid_of(1)] == ACCEPTED
        assert counted_by_meta(platform, 1) == 1
