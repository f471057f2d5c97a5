"""Fields of deals in identity, consent, attribution and dimensions: a form may write the click on the deal alone."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update

from app.db.session import Database
from app.db.tables import deliveries, identities, leads, records
from app.secrets import Keyring
from connectors.contract.conversions import Identifier, bit_mask
from connectors.contract.records import Record, RecordState
from tests.integration.joins_rig import WHEN, crm_lead
from tests.integration.recorder_rig import LEASE, World, contact, day, deal, source_of, world_of

IDENTITY = {"email": ["contact.email"], "gclid": ["deal.gclid", "lead.gclid", "contact.gclid"]}
DIMENSIONS = {"segment": "deal.dealtype"}
CONSENT = {"ad_user_data": {"field": "deal.consent", "granted": ["yes"]}}
ATTRIBUTION = {"campaign_id": ["deal.campaign"]}


async def _world(database: Database, **changes: Any) -> World:
    return await world_of(database, **{"identity": IDENTITY, "dimensions": DIMENSIONS, **changes})


async def _person(world: World, ref: str = "101", kind: str = "contact") -> Mapping[str, Any]:
    """The lead of a record with its opened latest identity."""
    query = (
        select(leads, identities.c.has, identities.c.sealed)
        .join(records, records.c.lead_id == leads.c.id)
        .join(identities, identities.c.id == leads.c.identity_id)
        .where(records.c.external_id == ref, records.c.object == kind)
    )
    async with world.database.read() as connection:
        row = (await connection.execute(query)).mappings().one()
    opened = orjson.loads(Keyring([b"k" * 32]).open(bytes(row["sealed"])))
    return {**row, "gclid": opened.get("gclid"), "dimensions": orjson.loads(row["dimensions_json"])}


async def _skip(world: World, reason: str) -> None:
    """What a claim does with someone of whom nothing may be sent."""
    async with world.database.write() as connection:
        await connection.execute(update(deliveries).values(state="skipped", reason=reason, due_at=None, settled_at=1))


async def test_a_click_on_the_deal_is_the_persons(database: Database) -> None:
    """A form that makes a deal and a person writes the click on one of them: without it nothing of an ad could be sent."""
    world = await _world(database)

    await world.record(contact("101", (1, "mql")), deal("9", (2, "won"), gclid="click-9", dealtype="new"))

    person = await _person(world)
    assert person["gclid"] == "click-9"
    assert person["has"] == bit_mask({Identifier.GCLID: ""})
    assert person["dimensions"] == {"segment": "new"}
    assert person["platform"] == "google"


async def test_the_order_of_the_fields_rules_before_the_order_of_the_records(database: Database) -> None:
    """A mapping says whether the deal's click or the person's goes first; a deal stands behind only within one field."""
    world = await _world(database)

    await world.record(contact("101", (1, "mql"), gclid="own"), deal("9", (2, "won"), gclid="click-9"))

    assert (await _person(world))["gclid"] == "click-9"


@pytest.mark.parametrize("reason", ["no_identifier", "no_consent"])
@pytest.mark.parametrize("people", [("101",), None])
async def test_a_deal_edited_later_reopens_what_its_person_lacked(
    database: Database, reason: str, people: tuple[str, ...] | None
) -> None:
    """Sales pastes the click on the deal a day later: the lead was skipped and nobody touches the person again."""
    world = await _world(database, consent=CONSENT)
    await world.record(contact("101", (1, "mql")), deal("9", (2, "won"), amount="5"))
    await _skip(world, reason)

    change = {"gclid": "click-9"} if reason == "no_identifier" else {"consent": "yes"}
    await world.record(replace(deal("9", (2, "won"), people=people, modified=31), fields={"amount": "5", **change}))

    assert await world.owed("qualified_lead") == [("upload", "pending", "new")]
    assert await world.owed("closed_revenue") == [("upload", "pending", "new")]
    person = await _person(world)
    granted = "granted,not_required" if "consent" in change else "unknown,not_required"
    assert (person["gclid"], person["consent"]) == (change.get("gclid"), granted)


async def test_of_two_deals_the_newest_modified_wins_and_an_empty_field_says_nothing(database: Database) -> None:
    """A person who comes back has a newer click, type and consent; a deal that leaves a field empty denies nothing."""
    world = await _world(database, consent=CONSENT)
    old = deal("8", (1, "won"), modified=20, gclid="old", dealtype="new", consent="no")
    new = deal("9", (2, "won"), modified=25, gclid="newer", dealtype="again", consent="yes")

    await world.record(contact("101", (1, "mql")), old, new)
    first = await _person(world)
    await world.record(replace(old, modified_at=day(27), people=None))
    then = await _person(world)
    await world.record(deal("7", (3, "won"), modified=29))
    last = await _person(world)

    assert (first["gclid"], first["dimensions"]["segment"], first["consent"]) == ("newer", "again", "granted,not_required")
    assert (then["gclid"], then["dimensions"]["segment"], then["consent"]) == ("old", "new", "denied,not_required")
    assert (last["gclid"], last["consent"]) == ("old", "denied,not_required")


PARTS: tuple[tuple[Record, ...], ...] = (
    (contact("101", (1, "mql"), email="a@x.example"),),
    (contact("101", (1, "mql"), email="a@x.example"), deal("8", (1, "won"), modified=20, gclid="old", consent="yes")),
    (contact("101", (1, "mql"), email="a@x.example"), deal("9", (2, "won"), modified=25, gclid="newer", dealtype="b")),
    (deal("9", (2, "won"), people=(), modified=24, gclid="early", dealtype="a"),),
)


@pytest.mark.parametrize("database_kind", ["sqlite"])
@pytest.mark.parametrize("order", list(permutations(range(len(PARTS))))[::3])
async def test_people_and_deals_give_the_same_in_whatever_order_they_are_read(database: Database, order: tuple[int, ...]) -> None:
    """Two cursors and webhooks read the same account in any order."""
    world = await _world(database, consent=CONSENT)

    for place in order:
        await world.record(*PARTS[place])

    person = await _person(world)
    assert (person["gclid"], person["dimensions"], person["consent"]) == ("newer", {"segment": "b"}, "granted,not_required")


async def test_a_deal_that_moves_takes_its_fields_along(database: Database) -> None:
    """Two people would be told under one click, and the wrong one's consent would count."""
    world = await _world(database, consent=CONSENT)
    await world.record(
        contact("101", (1, "mql")), contact("102", (1, "mql")), deal("9", (2, "won"), gclid="click-9", consent="yes")
    )
    before = await _person(world)

    await world.record(deal("9", (2, "won"), people=("102",), modified=31, gclid="click-9", consent="yes"))

    left, taken = await _person(world, "101"), await _person(world, "102")
    assert (before["gclid"], before["consent"]) == ("click-9", "granted,not_required")
    assert (left["gclid"], left["has"], left["consent"]) == (None, 0, "unknown,not_required")
    assert (taken["gclid"], taken["consent"]) == ("click-9", "granted,not_required")


async def test_what_waited_of_the_person_a_deal_left_is_judged_again(database: Database) -> None:
    """The deal that denied consent was somebody else's: nobody touches the person again, and their lead would be lost."""
    world = await _world(database, consent=CONSENT)
    await world.record(
        contact("101", (1, "mql")),
        contact("102", (1, "mql")),
        deal("8", (1, "new"), modified=20, consent="yes"),
        deal("9", (2, "new"), modified=25, consent="no"),
    )
    await _skip(world, "no_consent")

    await world.record(deal("9", (2, "new"), people=("102",), modified=31, consent="no"))

    assert await world.owed("qualified_lead", "101") == [("upload", "pending", "new")]
    assert (await _person(world))["consent"] == "granted,not_required"


async def test_a_deal_whose_principal_changes_leaves_the_other_person(database: Database) -> None:
    """The earliest contact counts; where it is read late, the click must not stand with both."""
    world = await _world(database)
    await world.record(contact("102", (1, "mql"), created=5), deal("9", (2, "won"), people=("102",), gclid="click-9"))
    await world.record(contact("101", (1, "mql"), created=1), deal("9", (2, "won"), people=("101", "102"), gclid="click-9"))

    assert (await _person(world, "101"))["gclid"] == "click-9"
    assert (await _person(world, "102"))["gclid"] is None


async def test_a_deleted_or_merged_deal_gives_nothing(database: Database) -> None:
    """What the CRM took away is no ground to tell of a person; a restored deal gives it again."""
    world = await _world(database)
    nine = deal("9", (2, "won"), gclid="click-9", modified=30)
    await world.record(contact("101", (1, "mql")), nine, deal("8", (1, "won"), modified=20, gclid="old"))

    await world.record(replace(nine, state=RecordState.DELETED, people=None, fields={}, entries=()))
    deleted = await _person(world)
    await world.record(replace(nine, modified_at=day(32)))
    restored = await _person(world)
    await world.record(deal("8", (1, "won"), modified=33, merged=("9",), gclid="kept"))
    merged = await _person(world)
    await world.record(deal("8", (1, "won"), modified=34, merged=("9",)))

    assert [one["gclid"] for one in (deleted, restored, merged)] == ["old", "click-9", "kept"]
    assert (await _person(world))["gclid"] is None


async def test_a_deal_without_people_waits_for_one_with_its_click(database: Database) -> None:
    """An anonymous deal is nobody's until the CRM says whose; then its click goes with the person."""
    world = await _world(database)
    await world.record(deal("9", (2, "won"), people=(), amount="5", gclid="click-9"))
    async with world.database.write() as connection:
        await connection.execute(update(deliveries).values(reason="person"))

    await world.record(contact("101", (1, "mql")), deal("9", (2, "won"), modified=31, amount="5", gclid="click-9"))

    assert (await _person(world))["gclid"] == "click-9"
    assert await world.owed("closed_revenue") == [("upload", "pending", "new")]


async def test_attribution_of_a_deal_is_frozen_at_first_touch(database: Database) -> None:
    """A later deal is another campaign's at most by its value: the lead came once."""
    world = await _world(database, attribution=ATTRIBUTION)
    await world.record(contact("101", (1, "mql")), deal("8", (1, "won"), campaign="first"))

    await world.record(deal("9", (2, "won"), modified=31, campaign="second"))

    assert (await _person(world))["campaign_id"] == "first"


async def test_a_crm_lead_that_became_the_deal_is_asked_with_it(database: Database) -> None:
    """The click stands on the CRM lead in one account, on the opportunity in another, on both in a third."""
    world = await world_of(database, WHEN, identity=IDENTITY)
    await world.record(crm_lead("5", created=1, gclid="lead-5"), contact("101", (1, "mql")))

    await world.record(
        replace(deal("9", (2, "won"), gclid="", modified=31), converted_from=(crm_lead("5").ref,)), contact("101", (1, "mql"))
    )

    assert (await _person(world))["gclid"] == "lead-5"


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_a_changed_deal_costs_its_writes_and_only_where_the_mapping_asks_deals(database: Database) -> None:
    """A page of a thousand deals must cost what it did, and little more where it tells of people."""
    world = await _world(database)
    people = [contact(str(n), (1, "mql"), email=f"{n}@x.example") for n in range(40)]
    deals = [deal(str(500 + n), (2, "won"), people=(str(n),), amount="5", gclid="a") for n in range(40)]
    await world.record(*people, *deals)
    told = []
    for number, identity in enumerate(({"email": ["contact.email"]}, IDENTITY)):
        world.source = source_of(identity=identity)
        await world.hold()
        page = [replace(one, modified_at=day(31 + number), people=None, fields={**one.fields, "gclid": "b"}) for one in deals]
        with world.counting() as statements:
            await world.recorder.record(world.source, page, world.now, LEASE)
        told.append([" ".join(one.split()[:3]) for one in statements])

    plain, asked = told
    assert "INSERT INTO leads" not in plain
    of_people = [
        "SELECT tombstones.kind, tombstones.hmac",
        "INSERT INTO id_blocks",
        "INSERT INTO identities",
        "INSERT INTO leads",
    ]
    assert sorted(asked) == sorted([*plain, *of_people])


async def test_several_emails_in_one_text_are_candidates_each(database: Database) -> None:
    """HubSpot keeps a contact's other e-mails as `a@x;b@y` in one field: read as one, none of them is valid."""
    emails = ["contact.email", "contact.hs_additional_emails"]
    world = await world_of(database, identity={"email": emails, "phone": ["contact.phone"]})

    await world.record(
        contact("101", (1, "mql"), email="no mail", hs_additional_emails="; second@x.example ;third@x.example;"),
        contact("102", (1, "mql"), email="second@x.example", hs_additional_emails="third@x.example"),
        contact("103", (1, "mql"), phone="+14155550123;+14155550124"),
    )

    first, second, third = [await _person(world, ref) for ref in ("101", "102", "103")]
    assert first["email_hmac"] == second["email_hmac"] is not None
    assert third["has"] == 0
