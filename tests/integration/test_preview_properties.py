"""Whatever the mapping, whatever the history: a preview is what then happens, and doing it again does nothing."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.db.session import Database
from app.ingest.context import SourceContext
from app.ingest.reapply_repository import ReapplyMove, StoredBatch, begin_reapply, newest_stored
from app.ingest.recorder import Written
from app.mapping.aggregate import AccountFacts, ConversionState
from app.mapping.selection import selection_of
from connectors.contract.records import Record
from tests.integration.recorder_rig import LEASE, World, contact, deal, source_of, world_of
from tests.unit.mapping.mapping_rig import SCHEMA, document

MODE = "of the whole mapping"
NAMES = ("lead", "qualified_lead", "opportunity", "closed_revenue")
LIFE, STAGES = ("subscriber", "lead", "mql", "sql", "customer"), ("new", "qualified", "proposal", "won", "lost")
_NUMBERS = itertools.count(10)


@dataclass(frozen=True, slots=True)
class Account:
    """Records as they are at first, and the pages that come later."""

    first: list[Record]
    later: list[Record]


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Changes of the usual mapping, by milestone."""
    changes: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        changes[name] = {
            "on_leave": draw(st.sampled_from(["keep", "retract"])),
            "implied": draw(st.sampled_from(["ignore", "report", "send"])),
        }
    enters = draw(st.lists(st.sampled_from(LIFE), min_size=1, max_size=3, unique=True))
    changes["qualified_lead"]["when"] = [{"object": "contact", "property": "lifecyclestage", "enters": enters}]
    changes["qualified_lead"]["value"] = {"model": "fixed", "amount": draw(st.sampled_from([0, 50, 75])), "currency": "USD"}
    if draw(st.booleans()):
        changes["qualified_lead"]["where"] = {
            "field": "contact.country",
            "op": "eq",
            "value": draw(st.sampled_from(["US", "DE"])),
        }
    stages = draw(st.lists(st.sampled_from(STAGES[:3]), min_size=1, max_size=2, unique=True))
    trigger = {"object": "deal", "property": "dealstage", "pipeline": "default", "enters": stages}
    changes["opportunity"]["when"] = [trigger]
    changes["opportunity"]["once_per"] = draw(st.sampled_from(["person", "deal"]))
    changes[MODE] = {"value_mode": draw(st.sampled_from(["absolute", "incremental"]))}
    return changes


def _steps(draw: st.DrawFn, values: tuple[str, ...], until: int) -> list[tuple[float, str]]:
    chosen = draw(st.lists(st.sampled_from(values), max_size=4))
    return [(float(until - len(chosen) + place), value) for place, value in enumerate(chosen)]


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    """Two people and two deals; each may move on, or its amount change, later."""
    first, later = [], []
    for ref in ("101", "102"):
        email, country = draw(st.sampled_from(["a@x.example", "b@x.example"])), draw(st.sampled_from(["US", "DE"]))
        steps = _steps(draw, LIFE, 10)
        first.append(contact(ref, *steps, modified=11, email=email, country=country))
        later.append(contact(ref, *steps, *_steps(draw, LIFE, 20), modified=21, email=email, country=country))
    for ref in ("201", "202"):
        people, steps = draw(st.sampled_from([("101",), ("102",), ("101", "102")])), _steps(draw, STAGES, 10)
        first.append(deal(ref, *steps, people=people, modified=11, amount="70"))
        amount, people = draw(st.sampled_from(["70", "90", "20"])), draw(st.sampled_from([people, ("102",)]))
        later.append(deal(ref, *steps, *_steps(draw, STAGES, 20), people=people, modified=21, amount=amount))
    return Account(first, later)


def context(base: SourceContext, number: int, version: int, changes: dict[str, dict[str, Any]], **more: Any) -> SourceContext:
    by = document(changes, **changes[MODE])
    facts = AccountFacts("hubspot", replace(SCHEMA, account_ref=str(number)), version)
    return replace(base, id=number, document=by, facts=facts, selection=selection_of(by, SCHEMA), **more)


def told(written: Written) -> set[tuple[object, ...]]:
    """What a recording made or changed."""
    return {_fact(state) for state in (*written.found.new, *(state for _, state in written.found.changed))}


def _fact(one: ConversionState) -> tuple[object, ...]:
    return (one.uid, one.milestone, one.occurred_at, one.is_implied, one.is_live, one.money, one.duplicate_of)


async def rehearsed(world: World, source: SourceContext, batch: StoredBatch) -> tuple[set[tuple[object, ...]], int]:
    """What a preview would say: facts, and deliveries added."""
    await world.hold()
    async with world.recorder.rehearse(source, [], batch, world.now, LEASE) as (_, written):
        return told(written), len(written.owed.added)


async def reapplied(world: World, source: SourceContext, batch: StoredBatch) -> tuple[int, int, int]:
    """New conversions, changed values, deliveries added."""
    await world.hold()
    async with world.database.write() as connection:
        asked = await begin_reapply(connection, source.id, 1, restates=False, requested_by="test", now=world.now)
    move = ReapplyMove(asked.run_id, asked.until, len(batch), is_last=True)
    recorded = await world.recorder.reapply(source, batch, world.now, LEASE, move)
    return recorded.new_conversions, recorded.revalued, recorded.deliveries


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(account=accounts(), one=mappings(), other=mappings(), restates=st.booleans())
async def test_a_preview_is_what_happens_and_happens_once(
    database: Database, account: Account, one: dict[str, Any], other: dict[str, Any], *, restates: bool
) -> None:
    """Versions come and go over an account that lives on: each preview tells what its reapply makes, a second makes nothing."""
    world, number = await _shared(database), next(_NUMBERS)
    base = source_of()
    first = context(base, number, 1, one)
    second = context(base, number, 2, other, renews_values=restates)
    world.source = first
    await world.record(*account.first)

    async with database.read() as connection:
        batch = await newest_stored(connection, number, 100)
    foretold, deliveries = await rehearsed(world, second, batch)
    assert await rehearsed(world, second, batch) == (foretold, deliveries)
    new, revalued, added = await reapplied(world, second, batch)
    assert added == deliveries
    assert (new + revalued == 0) or foretold
    assert await rehearsed(world, second, batch) == (set(), 0)

    assert await reapplied(world, second, batch) == (0, 0, 0)
    world.source = replace(second, renews_values=False)
    await world.record(*account.later)
    before = await uids(database, number)
    for version in (first, second, first, second):
        source = replace(version, renews_values=False)
        await reapplied(world, source, batch)
        assert await reapplied(world, source, batch) == (0, 0, 0)
    after = await uids(database, number)
    assert len(after) == len(set(after)) >= len(before)


async def uids(database: Database, number: int) -> list[tuple[str, int, str, int]]:
    """Each delivery once: conversion, destination, kind, number."""
    async with database.read() as connection:
        rows = await connection.execute(
            text(
                "SELECT c.uid, d.destination_id, d.kind, d.seq FROM deliveries d JOIN conversions c ON c.id = d.conversion_id"
                " WHERE c.source_id = :number"
            ),
            {"number": number},
        )
        return [tuple(row) for row in rows]


_WORLDS: dict[int, World] = {}


async def _shared(database: Database) -> World:
    """One recorder for all examples of a test: they share its database and its lease."""
    if id(database) not in _WORLDS:
        _WORLDS.clear()
        _WORLDS[id(database)] = await world_of(database)
    return _WORLDS[id(database)]
