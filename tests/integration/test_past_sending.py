"""Sending the past: one explicit act, with a plan that says the truth, once, and never what a platform took already."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from app.bootstrap import past_sending
from app.bootstrap.past_sending import PastSending
from app.db.tables import audit, conversions, deliveries, destinations
from tests.api.rig import NOW, Rig, rig_on
from tests.integration.recorder_rig import LIMITS, contact, day, world_of

DAY = timedelta(days=1)
SINCE = NOW - 120 * DAY
START = NOW - 10 * DAY


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """An open house whose mapping starts ten days ago."""
    async with rig_on(tmp_path, database_url, start=START) as one:
        yield one


def person(rig: Rig, number: int, days: float, **properties: str) -> str:
    """Qualified so many days ago."""
    chosen = {"email": f"p{number}@example.com", "lifecyclestage": "salesqualifiedlead", "ads_consent": "yes", **properties}
    return rig.stage.portal.create("contacts", chosen, NOW - days * DAY)


async def past_of(rig: Rig, since: datetime = SINCE, *, reads: bool = True) -> PastSending:
    """The past of the source, read from the CRM."""
    row, context = await rig.services.backfills.source("hubspot")
    if reads:
        await rig.services.backfills.ask(context, since, restarts=True)
        while (await rig.services.backfills.turn(row)).has_more:
            pass
    return PastSending(rig.services, context, since, "a test")


async def states(rig: Rig, milestone: str = "qualified_lead") -> Counter[tuple[str, str, str]]:
    """Destination, state and reason of all deliveries of a milestone."""
    query = (
        select(destinations.c.name, deliveries.c.state, deliveries.c.reason)
        .join(destinations, destinations.c.id == deliveries.c.destination_id)
        .join(conversions, conversions.c.id == deliveries.c.conversion_id)
        .where(conversions.c.milestone == milestone)
    )
    async with rig.services.database.read() as connection:
        return Counter((row[0], row[1], row[2]) for row in await connection.execute(query))


def received(rig: Rig) -> int:
    return len(list(rig.stage.google.received()))


def total(plan: Mapping[str, Mapping[str, int]]) -> Mapping[str, Mapping[str, int]]:
    return {name: dict(counts) for name, counts in plan.items()}


async def test_a_plan_says_what_would_go_and_why_the_rest_would_not(rig: Rig) -> None:
    """A person decides by these figures; the claim then does just what they said."""
    for number in range(3):
        person(rig, number, 30 + number)
    person(rig, 3, 30, ads_consent="no")
    person(rig, 4, 30, email="")
    person(rig, 5, 100)
    past = await past_of(rig)

    plan = await past.plan()
    before = received(rig)
    opened, stayed = await past.send()
    await rig.services.tick()

    assert total(plan.by_destination) == {"google": {"sendable": 3, "no_consent": 1, "no_identifier": 1, "too_old": 1}}
    assert (plan.owable, before, received(rig)) == (3, 0, 3)
    assert (opened, dict(stayed)) == (5, {"too_old": 1})
    assert await states(rig) == {
        ("google", "accepted", "delivered"): 3,
        ("google", "skipped", "no_consent"): 1,
        ("google", "skipped", "no_identifier"): 1,
        ("google", "skipped", "before_start"): 1,
    }


async def test_without_the_explicit_act_nothing_of_the_past_is_sent(rig: Rig) -> None:
    """A backfill is for reports too; what the tool before this one sent must not go twice. A plan sends nothing either."""
    person(rig, 1, 30)
    past = await past_of(rig)

    await past.plan()
    await rig.services.tick()

    assert received(rig) == 0
    assert await states(rig) == {("google", "skipped", "before_start"): 1}


async def test_what_is_found_after_its_window_closed_is_no_failure_of_ours(tmp_path: Path, database_url: str) -> None:
    """The start may lie long ago: what a backfill finds then is too old for the platform, and nobody must be alarmed."""
    async with rig_on(tmp_path, database_url, start=NOW - 700 * DAY) as rig:
        person(rig, 1, 600)
        person(rig, 2, 30)

        await past_of(rig, NOW - 700 * DAY)
        await rig.services.tick()

        assert await states(rig) == {("google", "skipped", "too_old"): 1, ("google", "accepted", "delivered"): 1}


async def test_since_means_entries_at_or_after_that_instant(rig: Rig) -> None:
    """The date is a line: the entry on it goes, the one a moment before does not."""
    person(rig, 1, 40)
    person(rig, 2, 40 + 1 / 86400)
    past = await past_of(rig, NOW - 40 * DAY)
    await past_of(rig)

    opened, _ = await past.send()
    await rig.services.tick()

    assert (opened, received(rig)) == (1, 1)


async def test_what_was_accepted_is_never_sent_again(rig: Rig) -> None:
    """The command is typed twice, or goes on after a kill: each conversion goes once. Each batch stands in the audit log."""
    for number in range(4):
        person(rig, number, 30)
    person(rig, 9, 5)
    await rig.services.tick()
    past = await past_of(rig)
    first, _ = await past.send()
    await rig.services.tick()

    plan = await past.plan()
    second, _ = await past.send()
    await rig.services.tick()

    assert (first, plan.total, second, received(rig)) == (4, 0, 0, 5)
    async with rig.services.database.read() as connection:
        rows = list(await connection.execute(select(audit).where(audit.c.action == "past.sent")))
    assert [(row.actor, row.subject, orjson.loads(row.detail_json)["reopened"]) for row in rows] == [("a test", "hubspot", 4)]


async def test_what_was_cut_off_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between two batches leaves a part owed; the same command owes the rest, and no part twice."""
    monkeypatch.setattr(past_sending, "BATCH", 2)
    for number in range(5):
        person(rig, number, 30 + number)
    past = await past_of(rig)
    rings = 0

    def cut_off() -> None:
        nonlocal rings
        rings += 1
        if rings == 2:
            raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(rig.services.bell, "ring", cut_off)
        with pytest.raises(asyncio.CancelledError):
            await past.send()
    partly = (await states(rig))["google", "pending", "new"]
    rest, _ = await past.send()
    await rig.services.tick()

    assert (partly, rest, received(rig)) == (2, 3, 5)


async def test_a_destination_that_came_later_gets_the_past_only_by_this(tmp_path: Path, rig: Rig) -> None:
    """It was never owed what was before it; with the explicit act it is, and the old destination is left alone."""
    person(rig, 1, 3)
    person(rig, 2, 2)
    await rig.services.tick()
    rig.stage.clock.now += timedelta(hours=1)
    file = tmp_path / "more.yaml"
    file.write_text(rig.stage.config(("google", "meta"), START), encoding="utf-8")
    await rig.services.apply_file(file, actor="test")
    await rig.services.tick()
    before = await states(rig)
    past = await past_of(rig)

    plan = await past.plan()
    await past.send()
    await rig.services.tick()

    assert before == {("google", "accepted", "delivered"): 2}
    assert total(plan.by_destination) == {"google": {}, "meta": {"sendable": 2 * 2}}
    assert await states(rig) == {("google", "accepted", "delivered"): 2, ("meta", "accepted", "delivered"): 2}


async def test_what_the_mapping_excludes_is_not_sent_by_this_either(tmp_path: Path, rig: Rig) -> None:
    """Our own people are excluded by a condition; for a destination that came later nobody has judged it yet."""
    person(rig, 1, 3, email="me@ourcompany.example")
    person(rig, 2, 3)
    await rig.services.tick()
    rig.stage.clock.now += timedelta(hours=1)
    text = rig.stage.config(("google", "meta"), START)
    file = tmp_path / "more.yaml"
    file.write_text(text.replace("exclude: [", 'exclude: [{field: contact.email, op: ends_with, value: "@ourcompany.example"}, '))
    await rig.services.apply_file(file, actor="test")
    past = await past_of(rig)

    await past.plan()
    await past.send()

    found = await states(rig)
    assert found["meta", "skipped", "excluded"] == 1
    assert found["meta", "pending", "new"] == 1


async def test_shadow_and_unmapped_stay(tmp_path: Path, rig: Rig) -> None:
    """A platform in shadow mode gets nothing; the plan says what to do first."""
    person(rig, 1, 30)
    past = await past_of(rig)
    file = tmp_path / "shadow.yaml"
    text = rig.stage.config(("google",), START).replace("{kind: google, ", "{kind: google, mode: shadow, ")
    file.write_text(text, encoding="utf-8")
    await rig.services.apply_file(file, actor="test")
    past = await past_of(rig, reads=False)

    plan = await past.plan()
    opened, stayed = await past.send()

    assert (plan.owable, opened, dict(stayed)) == (0, 0, {"shadow": 1})


async def test_an_instant_that_moves_does_not_take_back_what_was_asked_for(database: Any) -> None:
    """It waits for its value when an earlier entry is found: a person has said that it goes, and that stands."""
    world = await world_of(database)
    world.now = day(-50)
    await world.record(contact("101", (-70, "mql"), modified=-70))
    async with database.write() as connection:
        await connection.execute(deliveries.update().values(state="pending", reason="new", due_at=0, settled_at=None))

    await world.record(contact("101", (-71, "mql"), (-70, "sql"), modified=-69))

    assert await world.owed("qualified_lead") == [("upload", "pending", "new")]
    async with database.read() as connection:
        rows = await connection.execute(
            select(deliveries.c.deadline_at)
            .join(conversions, conversions.c.id == deliveries.c.conversion_id)
            .where(conversions.c.milestone == "qualified_lead")
        )
    assert [row.deadline_at for row in rows] == [round((day(-71) + LIMITS.age_with_click).timestamp() * 1000)]
