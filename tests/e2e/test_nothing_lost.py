"""Must be true: whatever the CRM's index, its history and its visitors do, the set of conversions is exact."""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connectors.contract.errors import Unavailable
from connectors.contract.records import ObjectKind
from connectors.simulators.faults import path_has, server_error
from connectors.simulators.hubspot.faults import day_is_used_up
from tests.e2e.kill_world import PORTAL, START
from tests.e2e.stage_rig import Rig
from tests.e2e.stored import read_database

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FIVE_MINUTES = 5 * MINUTE


@pytest.fixture
async def rig(database_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(database_url, tmp_path)
    yield made
    await made.close()


def uid(ref: str, milestone: str, occurrence: int = 0, kind: str = "deal") -> str:
    digest = hashlib.sha256(f"{PORTAL}|{kind}|{ref}|{milestone}|{occurrence}".encode()).digest()
    return ("ll" + base64.b32encode(digest).decode().lower())[:28]


async def made_by(rig: Rig) -> Counter[tuple[str, str, datetime, bool]]:
    """Every conversion of a deal: uid, milestone, instant, whether it lives."""
    facts, _ = await read_database(rig.url)
    assert set(facts.values()) <= {1}
    found: Counter[tuple[str, str, datetime, bool]] = Counter()
    for key, milestone, _, at, _, is_live, _ in facts:
        if milestone in ("opportunity", "closed_revenue"):
            found[str(key), str(milestone), at, bool(is_live)] += 1  # type: ignore[index]  # a fact's fourth is its instant
    return found


def opportunity(ref: str, at: datetime) -> tuple[str, str, datetime, bool]:
    return uid(ref, "opportunity"), "opportunity", at, True


async def test_a_crowd_in_one_millisecond_is_read_whole(rig: Rig, database_kind: str) -> None:
    """An import stamps all its deals alike, more than a search can show, and the reading breaks off on the way."""
    count = 25_000 if database_kind == "sqlite" else 3_000
    services = await rig.open()
    at = START + HOUR
    ids = [rig.create("deals", at, {"dealstage": "qualifiedtobuy"}) for _ in range(count)]
    rig.stage.pass_time(at + HOUR)
    rig.faults.script(*[None] * 10, *[server_error()] * 4, when=path_has("/deals/search"))
    (source,) = await services.sources()

    with pytest.raises(Unavailable):
        await services.pull(source, only_due=True)
    await services.pull(source, only_due=False)

    assert await made_by(rig) == Counter(opportunity(one, at) for one in ids)


async def test_what_the_index_shows_twenty_minutes_late_is_found_within_the_hour(rig: Rig) -> None:
    """Search is behind the records; a poll that only reads forward would lose what it shows late."""
    services = await rig.open()
    await rig.tick_for(services, hours=1, every=FIVE_MINUTES)
    made = []
    for _ in range(7):
        at = rig.clock() + MINUTE
        ref = rig.portal.create("deals", {"dealstage": "qualifiedtobuy"}, at, visible_at=at + 20 * MINUTE)
        made.append(opportunity(ref, at))
        await rig.tick_for(services, hours=1 / 12, every=FIVE_MINUTES)

    await rig.tick_for(services, hours=1, every=FIVE_MINUTES)

    assert await made_by(rig) == Counter(made)


async def test_what_the_index_shows_thirty_hours_late_is_found_by_the_nightly_sweep(rig: Rig) -> None:
    """Whenever in the day it happened: also where it appears just after a sweep."""
    services = await rig.open()
    await rig.tick_for(services, hours=2, every=HOUR)
    made = []
    for _ in range(9):
        at = rig.clock() + MINUTE
        ref = rig.portal.create("deals", {"dealstage": "qualifiedtobuy"}, at, visible_at=at + 30 * HOUR)
        made.append(opportunity(ref, at))
        await rig.tick_for(services, hours=3, every=3 * HOUR)

    await rig.tick_for(services, hours=57, every=3 * HOUR)

    assert await made_by(rig) == Counter(made)


async def test_three_moves_between_two_polls_are_three_entries(rig: Rig) -> None:
    """The CRM's history tells of stages that no poll ever saw."""
    services = await rig.open()
    await services.tick()
    at = START + HOUR
    ref = rig.create("deals", at, {"dealstage": "appointmentscheduled"})
    for number, stage in enumerate(("qualifiedtobuy", "contractsent", "closedwon"), start=1):
        rig.portal.update("deals", ref, {"dealstage": stage, "amount": "900"}, at + number * MINUTE)

    rig.stage.pass_time(at + HOUR)
    await services.tick()

    won = (uid(ref, "closed_revenue"), "closed_revenue", at + 3 * MINUTE, True)
    assert await made_by(rig) == Counter([opportunity(ref, at + MINUTE), won])


@pytest.mark.parametrize("is_seen_between", [True, False])
async def test_a_stage_left_and_entered_again_counts_as_its_rules_say(rig: Rig, *, is_seen_between: bool) -> None:
    """An opportunity is kept and counts once; a win that was lost and won again is a second win."""
    services = await rig.open()
    at = START + HOUR
    ref = rig.create("deals", at, {"dealstage": "qualifiedtobuy", "amount": "900"})
    moves = ("closedwon", "appointmentscheduled", "qualifiedtobuy", "closedwon")
    for number, stage in enumerate(moves, start=1):
        rig.portal.update("deals", ref, {"dealstage": stage}, at + number * 10 * MINUTE)
        if is_seen_between:
            rig.stage.pass_time(at + number * 10 * MINUTE + MINUTE)
            await services.tick()

    rig.stage.pass_time(at + 2 * HOUR)
    await services.tick()

    first = (uid(ref, "closed_revenue", 0), "closed_revenue", at + 10 * MINUTE, False)
    second = (uid(ref, "closed_revenue", 1), "closed_revenue", at + 40 * MINUTE, True)
    assert await made_by(rig) == Counter([opportunity(ref, at), first, second])


async def test_webhook_poll_and_backfill_at_once_make_each_conversion_once(rig: Rig) -> None:
    """Three ways lead to the same record, from two processes, in any order."""
    one = await rig.open()
    two = await rig.open(applies=False)
    at = START + HOUR
    ids = [rig.create("deals", at + n * timedelta(seconds=1), {"dealstage": "qualifiedtobuy"}) for n in range(300)]
    rig.stage.pass_time(at + HOUR)

    async def poll() -> None:
        for _ in range(6):
            await one.tick(only_due=False)

    async def hints() -> None:
        for start in range(0, 300, 60):
            await rig.hint(one, ObjectKind.DEAL, *ids[start : start + 100])
            await asyncio.sleep(0)

    async def backfill() -> None:
        (row,) = await two.sources()
        for _ in range(6):
            await two.pull(row, only_due=False)
            await asyncio.sleep(0.01)

    await asyncio.gather(poll(), hints(), backfill())
    await one.sync()

    assert await made_by(rig) == Counter(opportunity(ref, at + n * timedelta(seconds=1)) for n, ref in enumerate(ids))


async def test_contacts_merged_while_their_deals_are_read_double_nothing(rig: Rig) -> None:
    """A merge moves deals to another person; the deals' conversions stay the same ones."""
    services = await rig.open()
    at = START + HOUR
    pairs, made = [], []
    for number in range(12):
        # Of every other pair the one that will be swallowed came first.
        kept, gone = (
            rig.create("contacts", at + seconds, {"email": f"{who}{number}@customer.example.com", "lastname": "Doe"})
            for who, seconds in (("a", timedelta(seconds=5)), ("b", timedelta(seconds=10 * (number % 2))))
        )
        ref = rig.create("deals", at + MINUTE, {"dealstage": "qualifiedtobuy"})
        rig.portal.associate(ref, gone, at=at + 2 * MINUTE)
        pairs.append((kept, gone))
        made.append(opportunity(ref, at + MINUTE))
    rig.stage.pass_time(at + 10 * MINUTE)
    await services.tick()
    for number, (kept, gone) in enumerate(pairs):
        rig.portal.merge("contacts", kept, gone, rig.clock() + timedelta(seconds=number))
        rig.stage.pass_time(rig.clock() + 2 * MINUTE)
        await services.tick()
    await rig.tick_for(services, hours=30, every=6 * HOUR)

    facts, sent = await read_database(rig.url)
    assert await made_by(rig) == Counter(made)
    live_leads = Counter(str(fact[2]) for fact in facts if fact[1] == "lead" and fact[5])
    assert live_leads == Counter(pair[0] if number % 2 else pair[1] for number, pair in enumerate(pairs))
    uploads = [row for row in sent if (row["kind"], row["milestone"], row["destination"]) == ("upload", "opportunity", "google")]
    assert len(uploads) == 12
    assert {row["state"] for row in uploads} <= {"unmatched", "accepted"}


async def test_deals_merged_between_polls_keep_the_earlier_conversion(rig: Rig) -> None:
    """Two deals that were one all along must not be two opportunities, whichever of them the CRM keeps."""
    services = await rig.open()
    at = START + HOUR
    made = []
    pairs = []
    for number in range(6):
        kept = rig.create("deals", at + number % 2 * MINUTE, {"dealstage": "qualifiedtobuy"})
        gone = rig.create("deals", at + (number + 1) % 2 * MINUTE, {"dealstage": "qualifiedtobuy"})
        early, late = (gone, kept) if number % 2 else (kept, gone)
        made += [opportunity(early, at), (uid(late, "opportunity"), "opportunity", at + MINUTE, False)]
        pairs.append((kept, gone))
    rig.stage.pass_time(at + HOUR)
    await services.tick()

    for kept, gone in pairs:
        rig.portal.merge("deals", kept, gone, rig.clock())
        rig.stage.pass_time(rig.clock() + 6 * MINUTE)
        await services.tick()

    assert await made_by(rig) == Counter(made)


async def test_a_deal_that_is_deleted_takes_its_revenue_back_and_its_restoring_gives_it_again(rig: Rig) -> None:
    """Deleting is a fact of the CRM; the search never shows it, a webhook does."""
    services = await rig.open()
    at = START + HOUR
    ref = rig.create("deals", at, {"dealstage": "qualifiedtobuy", "amount": "900"})
    rig.portal.update("deals", ref, {"dealstage": "closedwon"}, at + MINUTE)
    rig.stage.pass_time(at + HOUR)
    await services.tick()

    rig.portal.archive("deals", ref, at + 2 * HOUR)
    rig.stage.pass_time(at + 2 * HOUR)
    await rig.hint(services, ObjectKind.DEAL, ref)
    await services.tick()

    def won(*, is_live: bool) -> tuple[str, str, datetime, bool]:
        return uid(ref, "closed_revenue"), "closed_revenue", at + MINUTE, is_live

    assert await made_by(rig) == Counter([opportunity(ref, at), won(is_live=False)])
    rig.portal.restore("deals", ref, at + 3 * HOUR)
    rig.stage.pass_time(at + 4 * HOUR)
    await services.tick()
    assert await made_by(rig) == Counter([opportunity(ref, at), won(is_live=True)])


async def test_a_used_up_day_waits_for_the_accounts_own_midnight(rig: Rig) -> None:
    """The quota comes back at midnight in the account's zone, not in ours: until then nothing is asked and nothing is lost."""
    services = await rig.open()
    await services.tick()
    at = rig.clock() + HOUR
    ref = rig.create("deals", at, {"dealstage": "qualifiedtobuy"})
    rig.stage.pass_time(at + HOUR)
    rig.faults.script(day_is_used_up(), when=path_has("/search"))

    await services.tick()
    (source,) = await services.sources()
    asked = rig.portal.requests.total()
    midnight = rig.portal.limits.resets_at(rig.clock())
    await rig.tick_for(services, hours=(midnight - rig.clock()) / HOUR - 0.5, every=HOUR)

    assert source.pause_reason == "DAILY"
    assert source.paused_until is not None
    assert abs(source.paused_until / 1000 - midnight.timestamp()) < 5
    assert rig.portal.requests.total() == asked
    await rig.tick_for(services, hours=1, every=30 * MINUTE)
    assert await made_by(rig) == Counter([opportunity(ref, at)])
