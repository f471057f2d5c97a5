"""The active mapping as recording and sending see it: defaults by platform, rates, and since when a destination is owed."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any, cast

import orjson
import pytest

from app.bootstrap.contexts import Contexts
from app.bootstrap.openers import Openers
from app.connections import repository as connections
from app.connections.repository import SourceRow
from app.connections.schema_codec import encode_schema
from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import destinations, fx_rates, sources
from app.mapping import repository as mappings
from connectors.contract.destination import DestinationLimits
from tests.integration.recorder_rig import LIMITS, day
from tests.unit.mapping.mapping_rig import DOCUMENT, SCHEMA

EUROS = {"model": "field", "field": "deal.amount", "currency": "USD"}


class Limits:
    """What platforms say of themselves: `bing` wants its own click, `meta` takes anybody."""

    def limits(self, kind: str) -> DestinationLimits:
        return replace(LIMITS, send_when="own_click_or_lead_id") if kind == "bing" else LIMITS


async def _world(database: Database) -> Contexts:
    at = to_ms(day(0))
    named = {"settings_sealed": b"", "created_at": at}
    async with database.write() as connection:
        source = {"id": 1, "name": "crm", "kind": "hubspot", "schema_json": encode_schema(SCHEMA), **named}
        await insert_rows(connection, sources, [source])
        rows = [{"id": 2, "name": "meta", "kind": "meta", **named}, {"id": 3, "name": "bing", "kind": "bing", **named}]
        await insert_rows(connection, destinations, rows)
    seconds = count(step=2)  # whoever asks twice asks later than a context is believed without a look
    return Contexts(database, cast("Openers", Limits()), lambda: day(9) + timedelta(seconds=next(seconds)))


async def _apply(database: Database, at: float, **changes: Any) -> SourceRow:
    text = orjson.dumps({**deepcopy(DOCUMENT), **changes}).decode()
    async with database.write() as connection:
        version = await mappings.save_version(connection, 1, text, "me", to_ms(day(at)))
        await mappings.activate(connection, 1, version, to_ms(day(at)))
        row = await connections.source_by_id(connection, 1)
    assert row is not None
    return row


LEAD = {"lead": {"event_name": "Lead"}}


async def test_send_when_is_the_platform_s_unless_the_mapping_says_else(database: Database) -> None:
    """Microsoft and TikTok judge a conversion by their own click: without one it teaches them nothing."""
    contexts = await _world(database)
    await _apply(database, 1, destinations={"meta": LEAD, "bing": LEAD})
    default = (await contexts.terms_of(1)).milestones
    await _apply(database, 2, destinations={"meta": {**LEAD, "send_when": "own_click_or_lead_id"}, "bing": LEAD})
    said = (await contexts.terms_of(1)).milestones

    assert default["meta", "lead"].send_when == "any"
    assert default["bing", "lead"].send_when == "own_click_or_lead_id"
    assert said["meta", "lead"].send_when == "own_click_or_lead_id"


async def test_the_minimum_value_nearest_to_the_target_counts(database: Database) -> None:
    """The top says it for all, a milestone for itself, a destination for itself; 0 is a minimum too."""
    contexts = await _world(database)
    milestones = deepcopy(DOCUMENT["milestones"])
    milestones[3]["minimum_value"] = 20
    targets = {**LEAD, "closed_revenue": {"event_name": "P"}}
    both = {"meta": targets, "bing": {**targets, "minimum_value": 0}}
    await _apply(database, 1, minimum_value="10.5", milestones=milestones, destinations=both)

    found = {key: terms.minimum_micros for key, terms in (await contexts.terms_of(1)).milestones.items()}

    assert found == {
        ("meta", "lead"): 10_500_000,
        ("meta", "closed_revenue"): 20_000_000,
        ("bing", "lead"): 0,
        ("bing", "closed_revenue"): 0,
    }


async def test_a_renamed_milestone_keeps_its_terms_for_what_waits(database: Database) -> None:
    """Deliveries that were owed under the old name go on."""
    contexts = await _world(database)
    milestones = deepcopy(DOCUMENT["milestones"])
    milestones[0] |= {"name": "enquiry", "renamed_from": "lead"}
    row = await _apply(database, 1, milestones=milestones, destinations={"meta": {"enquiry": {"event_name": "Lead"}}})

    context = await contexts.of_source(row)

    assert context is not None
    assert set(context.destinations[0].targets) == {"enquiry", "lead"}
    assert {("meta", "enquiry"), ("meta", "lead")} <= set((await contexts.terms_of(1)).milestones)


async def test_rates_are_read_and_read_again_when_more_come(database: Database) -> None:
    """A conversion in another currency waits until its rate is imported, and not until a restart."""
    contexts = await _world(database)
    milestones = deepcopy(DOCUMENT["milestones"])
    milestones[3]["value"] = EUROS
    row = await _apply(database, 100, milestones=milestones)
    empty = await contexts.of_source(row)
    rates = [("2026-12-01", "EUR", "USD"), ("2026-12-01", "EUR", "GBP"), ("1999-12-01", "EUR", "USD")]
    async with database.write() as connection:
        given = [{"day": at, "base": one, "quote": two, "rate_micros": 1_100_000, "version": 1} for at, one, two in rates]
        await insert_rows(connection, fx_rates, given)

    filled = await contexts.of_source(row)

    assert empty is not None
    assert filled is not None
    assert dict(empty.rates.by_day) == {}
    assert list(filled.rates.by_day.values()) == [1_100_000], "no other currency, nothing older than any entry"
    assert filled.rates.version == 1
    assert await contexts.of_source(row) is filled


@pytest.mark.parametrize(
    ("history", "owed_from"),
    [
        ([["meta", "bing"]], None),
        ([["meta"], ["meta", "bing"]], 2),
        ([["bing"], ["meta"], ["bing"]], 3),
        ([["meta"], ["bing"], ["meta", "bing"]], 2),
    ],
)
async def test_a_destination_is_owed_from_when_the_mapping_named_it(
    database: Database, history: list[list[str]], owed_from: float | None
) -> None:
    """Adding a platform must not send it the year before: that is an explicit backfill."""
    contexts = await _world(database)
    applied = [await _apply(database, number, destinations=dict.fromkeys(names, LEAD)) for number, names in enumerate(history, 1)]

    context = await contexts.of_source(applied[-1])

    assert context is not None
    assert context.start == day(1)
    found = {terms.name: terms.owed_from for terms in context.destinations}
    assert found["bing"] == (None if owed_from is None else day(owed_from))


async def test_a_destination_that_is_made_later_is_seen_without_a_restart(database: Database) -> None:
    """A context that is kept must not hide what changed beside the mapping."""
    contexts = await _world(database)
    row = await _apply(database, 1, destinations={"meta": LEAD, "tok": LEAD})
    before = await contexts.of_source(row)
    made = {"id": 4, "name": "tok", "kind": "tok", "settings_sealed": b"", "created_at": to_ms(day(1) + timedelta(hours=1))}
    async with database.write() as connection:
        await insert_rows(connection, destinations, [made])

    after = await contexts.of_source(row)

    assert before is not None
    assert after is not None
    assert [one.name for one in before.destinations] == ["meta"]
    assert [one.name for one in after.destinations] == ["meta", "tok"]
    assert after.destinations[1].owed_from == day(1) + timedelta(hours=1)


async def test_a_mended_target_is_known_to_what_waits(database: Database) -> None:
    """What is owed already goes where the mapping sends it today, written as deliveries and pauses write it."""
    contexts = await _world(database)
    await _apply(database, 1, destinations={"meta": {"lead": {"event_name": "Leed"}}})
    row = await _apply(database, 2, destinations={"meta": LEAD})

    context = await contexts.of_source(row)

    assert context is not None
    assert (await contexts.terms_of(1)).milestones["meta", "lead"].target == context.destinations[0].targets["lead"]
