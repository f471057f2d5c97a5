"""A Pipedrive company from end to end: leads that become deals, merges, its webhooks kept and believed, fields by their names."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.config import ConfigInvalid
from app.mapping import repository as mappings
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import NoteOutcome, StatusNote, WritesBack
from tests.contract.crm_stage import Step
from tests.contract.reading import SECOND, later
from tests.integration.pipedrive_rig import BEGINS_AT, HOUR, MINUTE, PUBLIC, Rig, rig_on


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """A company and a house."""
    async with rig_on(tmp_path, database_url) as one:
        yield one


def _document(rig: Rig) -> dict[str, Any]:
    """The stage's mapping; what a deleted lead was qualified for is taken back."""
    document = rig.stage.mapping()
    document["start"] = rig.stage.clock().isoformat()
    document["milestones"][0]["on_delete"] = "retract"
    return document


async def _subscribed(rig: Rig) -> None:
    await rig.apply(_document(rig))
    await rig.keep_webhooks()
    await rig.tick()


@pytest.mark.parametrize("told", ["lead", "deal", "both", "none"])
async def test_a_qualified_lead_that_becomes_a_deal_stays_one_conversion(rig: Rig, told: str) -> None:
    """Whichever webhook of the conversion comes first or at all: the lead is not deleted, and it is not a second person."""
    await _subscribed(rig)
    stage = rig.stage
    lead = stage.add_lead(later(stage), "ann@customer.example.com")
    stage.qualify_lead(lead, later(stage))
    await rig.knock(rig.sent())
    await rig.tick()

    person, deal = stage.convert_lead(lead, later(stage))
    sent = rig.sent()
    await rig.knock([one for one in sent if told == "both" or f'"entity":"{told}"'.encode() in one.body.replace(b": ", b":")])
    await rig.tick()
    at_once = await rig.found()
    stage.qualify(person, later(stage))
    stage.move(deal, Step.WON, later(stage))
    await rig.tick(HOUR)

    assert at_once == [("qualified_lead", lead, True)]
    assert [one for one in await rig.found() if one[0] == "qualified_lead"] == [("qualified_lead", lead, True)]
    assert ("closed_revenue", deal, True) in await rig.found()


async def test_a_lead_without_a_person_stays_the_person_of_its_deal(rig: Rig) -> None:
    """Nobody was linked; the click id and the milestones are the lead's."""
    await _subscribed(rig)
    stage = rig.stage
    lead = stage.company.create_lead({"title": "Nobody yet", stage.of_lead: 2}, later(stage))
    await rig.tick(HOUR)

    deal = str(stage.company.convert_lead(lead, later(stage)))
    stage.move(deal, Step.WON, later(stage))
    await rig.tick(HOUR)

    found = await rig.found()
    assert [one for one in found if one[0] == "qualified_lead"] == [("qualified_lead", lead, True)]
    assert ("closed_revenue", deal, True) in found


async def test_leads_that_became_deals_long_ago_are_not_asked_for(rig: Rig) -> None:
    """Pipedrive shows none of them: one request a deal would be a backfill's whole day of tokens for nothing."""
    stage = rig.stage
    deals = [stage.convert_lead(stage.add_lead(later(stage), f"{name}@customer.example.com"), later(stage))[1] for name in "abc"]
    for deal in deals:
        stage.move(deal, Step.WON, later(stage))

    await rig.apply(_document(rig) | {"start": BEGINS_AT.isoformat()})
    await rig.tick()
    await rig.tick()

    assert [ref for name, ref, _ in await rig.found() if name == "closed_revenue"] == deals
    assert rig.stage.company.requests["GET v1/leads/{id}"] == 0


async def test_a_deleted_lead_is_taken_back(rig: Rig) -> None:
    """No deal names it: that it is gone is all that Pipedrive says."""
    await _subscribed(rig)
    stage = rig.stage
    lead = stage.add_lead(later(stage), "ann@customer.example.com")
    stage.qualify_lead(lead, later(stage))
    await rig.tick(HOUR)
    rig.sent()

    stage.delete(ObjectKind.LEAD, lead, later(stage))
    await rig.knock(rig.sent())
    await rig.tick()

    assert await rig.found() == [("qualified_lead", lead, False)]


@pytest.mark.parametrize("is_late", [False, True])
async def test_merged_deals_are_one_however_late_that_is_told(rig: Rig, *, is_late: bool) -> None:
    """A poll shows the loser as deleted; its webhook says what it became, before or after."""
    await _subscribed(rig)
    stage = rig.stage
    winner = stage.add_deal(later(stage), Step.OPPORTUNITY, amount=100)
    loser = stage.add_deal(later(stage), Step.OPPORTUNITY, amount=200)
    stage.move(loser, Step.WON, later(stage))
    await rig.tick(HOUR)
    rig.sent()

    stage.merge_deals(winner, loser, later(stage))
    sent = rig.sent()
    if is_late:
        await rig.tick(HOUR)
    await rig.knock(sent)
    await rig.tick()
    await rig.tick(HOUR)

    live = [(name, ref) for name, ref, is_live in await rig.found() if is_live]
    assert [ref for name, ref in live if name == "opportunity"] == [winner]


async def test_webhooks_are_subscribed_to_looked_after_and_believed(rig: Rig) -> None:
    """From the hourly job to the deal that is read: nobody sets up anything by hand."""
    await _subscribed(rig)
    await rig.keep_webhooks()
    hooks = rig.stage.company.webhooks.all
    assert sorted((one.event_object, one.event_action) for one in hooks.values()) == [
        ("deal", "*"),
        ("lead", "*"),
        ("person", "*"),
    ]
    assert all(one.subscription_url.startswith(f"{PUBLIC}/webhooks/crm/") for one in hooks.values())

    deal = rig.stage.add_deal(later(rig.stage), Step.WON, amount=900)
    assert await rig.knock(rig.sent()) == [204]
    await rig.tick()
    assert ("closed_revenue", deal, True) in await rig.found()

    hooks.clear()
    unseen = rig.stage.add_deal(later(rig.stage), Step.WON, amount=900)
    await rig.keep_webhooks()
    await rig.tick()
    assert len(hooks) == 3
    assert ("closed_revenue", unseen, True) in await rig.found()


async def test_a_webhook_without_the_pair_or_of_another_company_is_refused(rig: Rig) -> None:
    """The address alone is no proof, and an account of somebody else is not ours; an event that comes three times counts once."""
    await _subscribed(rig)
    deal = rig.stage.add_deal(later(rig.stage), Step.WON)
    (one,) = rig.sent()
    event = orjson.loads(one.body)
    event["meta"]["company_id"] = 1
    bare = {name: value for name, value in one.headers.items() if name.lower() != "authorization"}

    refused = await rig.knock([replace(one, headers=bare), replace(one, body=orjson.dumps(event))])
    await rig.tick(SECOND)
    before = await rig.found()
    taken = await rig.knock([one, one, rig.stage.company.webhooks.redelivered(one.body)])
    await rig.tick(SECOND)

    assert (refused, before) == ([401, 403], [])
    assert taken == [204, 204, 204]
    assert [ref for name, ref, _ in await rig.found() if name == "closed_revenue"] == [deal]


async def test_a_mapping_names_fields_and_options_as_the_company_does(rig: Rig) -> None:
    """Nobody types a key of forty characters; what is stored are keys."""
    document = _document(rig)
    document["milestones"][0]["when"] = [
        {"object": "contact", "property": "Qualification", "enters": ["Qualified"]},
        {"object": "lead", "property": "Lead qualification", "enters": ["Qualified"]},
    ]
    stage = rig.stage
    await rig.apply(document)
    await rig.tick()
    (row,) = await rig.services.sources()
    async with rig.services.database.read() as connection:
        active = await mappings.active(connection, row.id)
    assert active is not None
    stored: Mapping[str, Any] = orjson.loads(active.document_json)
    assert [one["property"] for one in stored["milestones"][0]["when"]] == [stage.of_person, stage.of_lead]

    person = stage.add_person(later(stage), "ann@customer.example.com")
    stage.qualify(person, later(stage))
    await rig.tick(HOUR)

    assert await rig.found() == [("qualified_lead", person, True)]


async def test_a_lead_with_one_label_of_several_is_qualified_by_a_condition(rig: Rig) -> None:
    """Labels are a set, so that `enters` knows only the whole of it."""
    stage = rig.stage
    boiling, freezing = (stage.company.define_label(name) for name in ("Boiling", "Freezing"))
    document = _document(rig)
    document["milestones"][0] |= {
        "when": [{"object": "lead", "created": True}],
        "where": {"field": "lead.label_ids", "op": "contains", "value": boiling},
    }
    await rig.apply(document)
    one, other = (stage.add_lead(later(stage), f"{name}@customer.example.com") for name in ("ann", "bob"))
    await rig.tick(HOUR)

    stage.company.update("lead", one, {"label_ids": [freezing, boiling]}, later(stage))
    stage.company.update("lead", other, {"label_ids": [freezing]}, later(stage))
    await rig.tick(HOUR)

    assert await rig.found() == [("qualified_lead", one, True)]


async def test_a_field_that_the_company_does_not_have_is_a_mistake_at_apply(rig: Rig) -> None:
    """Deleted and made again, a field has another key: an old one would never be filled, and nobody would know why."""
    document = _document(rig)
    document["identity"]["gclid"] = [f"deal.{'0' * 40}"]

    with pytest.raises(ConfigInvalid) as refused:
        await rig.apply(document)

    assert "identity.gclid" in str(refused.value)


async def test_a_spent_day_parks_the_source_and_loses_nothing(rig: Rig) -> None:
    """Asking on would only bring a ban; what happened meanwhile is read when the tokens are back."""
    await _subscribed(rig)
    stage = rig.stage
    deal = stage.add_deal(later(stage), Step.WON, amount=900)
    stage.plan.always(stage.faults.daily)
    await rig.tick(HOUR)
    asked = len(stage.plan.met)
    for _ in range(10):
        await rig.tick(MINUTE)

    assert len(stage.plan.met) == asked
    stage.plan.clear()
    for _ in range(3):
        await rig.tick(HOUR)
    assert ("closed_revenue", deal, True) in await rig.found()


async def test_our_own_note_is_read_once_and_tells_nothing(tmp_path: Path, database_url: str) -> None:
    """A note moves `update_time` and sends a webhook: it must cost no history, change nothing and call for no other note."""
    async with rig_on(tmp_path, database_url, write_back="deal.Ad upload status") as rig:
        stage = rig.stage
        status = stage.company.define_field("deal", "Ad upload status")
        await _subscribed(rig)
        deal = stage.add_deal(later(stage), Step.WON, amount=900)
        await rig.tick(HOUR)
        rig.sent()
        before, histories = await rig.found(), stage.company.requests["GET v1/deals/{id}/changelog"]
        (row,) = await rig.services.sources()
        crm = rig.services.openers.stored_source(row)

        assert isinstance(crm, WritesBack)
        (result,) = await crm.write_back([StatusNote(RecordRef(ObjectKind.DEAL, deal), status, "sent")])
        sent = rig.sent()
        await rig.knock(sent)
        await rig.tick()
        await rig.tick(HOUR)

        assert (result.outcome, len(sent), rig.sent()) == (NoteOutcome.WRITTEN, 1, [])
        assert await rig.found() == before
        assert stage.company.requests["GET v1/deals/{id}/changelog"] == histories
        assert stage.company.row("deal", int(deal)).custom[status] == "sent"
