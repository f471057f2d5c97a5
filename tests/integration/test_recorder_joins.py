"""One lead of several kinds of records: CRM leads, contacts and deals, told in whatever order, on both databases."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count, permutations
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import conversions, identities, leads, records
from app.ingest.inbox import waiting_hints
from app.ingest.repository import versions
from app.mapping.aggregate import AccountFacts
from app.secrets import Keyring
from connectors.contract.records import ObjectKind, PersonLink, Record, RecordRef, RecordState
from tests.integration.joins_rig import IDENTITY, WHEN, crm_lead, joined_world
from tests.integration.recorder_rig import LEASE, World, contact, day, deal, source_of
from tests.unit.mapping.mapping_rig import SCHEMA

CONTACT, LEAD, DEAL = ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL


def converted(one: Record, *lead_ids: str) -> Record:
    """A deal that CRM leads became."""
    return replace(one, converted_from=tuple(RecordRef(LEAD, lead_id) for lead_id in lead_ids))


async def _groups(database: Database, source_id: int = 1) -> list[list[str]]:
    """The people: the refs of each lead's records."""
    query = select(records.c.lead_id, records.c.object, records.c.external_id).where(
        records.c.lead_id.is_not(None), records.c.source_id == source_id
    )
    found: dict[int, list[str]] = {}
    async with database.read() as connection:
        for row in await connection.execute(query):
            found.setdefault(row.lead_id, []).append(f"{row.object}:{row.external_id}")
    return sorted(sorted(refs) for refs in found.values())


async def _people(database: Database, source_id: int = 1) -> list[dict[str, str]]:
    """The opened identities of the leads of whom something may be sent, those without any left out."""
    counted = select(conversions.c.lead_id).where(
        conversions.c.live, conversions.c.lead_id.is_not(None), conversions.c.occurred_at >= to_ms(day(-60))
    )
    query = (
        select(identities.c.sealed)
        .join(leads, leads.c.identity_id == identities.c.id)
        .where(leads.c.source_id == source_id, leads.c.id.in_(counted))
    )
    async with database.read() as connection:
        sealed = (await connection.execute(query)).scalars().all()
    opened = [orjson.loads(Keyring([b"k" * 32]).open(bytes(one))) for one in sealed]
    return sorted((one for one in opened if one), key=lambda one: sorted(one.items()))


async def _live(database: Database, source_id: int = 1) -> list[tuple[str, float]]:
    """Milestone and instant of what lives and is not from before the mapping's start."""
    query = select(conversions.c.milestone, conversions.c.occurred_at).where(
        conversions.c.live, conversions.c.source_id == source_id, conversions.c.occurred_at >= to_ms(day(-60))
    )
    async with database.read() as connection:
        return sorted((row.milestone, row.occurred_at) for row in await connection.execute(query))


async def _state(database: Database, kind: ObjectKind, ref: str) -> str | None:
    async with database.read() as connection:
        state: str | None = await connection.scalar(
            select(records.c.state).where(records.c.object == kind.value, records.c.external_id == ref)
        )
    return state


THREE = (
    crm_lead("9", (2, "Qualified"), people=("101",), created=1, email="a@x.example", GCLID__c="click-1"),
    contact("101", created=3, email="a@x.example"),
    deal("202", (9, "won"), people=("101",), amount="5"),
)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_a_converted_lead_is_its_contact_in_whatever_order_they_come(database: Database, order: tuple[int, ...]) -> None:
    """The click id stands on the Salesforce Lead, the sale on the Contact: apart, the ad platform hears of neither."""
    world = await joined_world(database)
    for place in order:
        page = [THREE[place]]
        if THREE[place].ref.kind is DEAL:  # a source brings the people that are not known
            page.insert(0, THREE[1])
        await world.record(*page)

    assert await _groups(database) == [["contact:101", "lead:9"]]
    assert [one["gclid"] for one in await _people(database)] == ["click-1"]
    assert [(name, at) for name, at in await _live(database) if name != "opportunity"] == [
        ("closed_revenue", int(day(9).timestamp() * 1000)),
        ("lead", int(day(1).timestamp() * 1000)),
        ("qualified_lead", int(day(2).timestamp() * 1000)),
    ]
    assert {row["lead_id"] is None for row in await world.conversions("closed_revenue")} == {False}


async def test_all_in_one_page_is_the_same(database: Database) -> None:
    """A backfill reads a lead with all that it became at once."""
    world = await joined_world(database)

    await world.record(*THREE)

    assert await _groups(database) == [["contact:101", "lead:9"]]
    assert [one["gclid"] for one in await _people(database)] == ["click-1"]


async def test_two_milestones_of_one_person_become_one_and_the_earlier_lives(database: Database) -> None:
    """Lead and contact were read apart, each counted: after the conversion is known nothing is sent twice."""
    world = await joined_world(database)
    await world.record(contact("101", created=3, email="a@x.example"))
    await world.record(crm_lead("9", created=1, email="b@x.example"))
    apart = await world.facts("lead")

    await world.record(crm_lead("9", people=("101",), created=1, modified=31, email="b@x.example"))

    assert apart == [("101", True, None), ("lead:9", True, None)]
    assert sorted(await world.facts("lead")) == [("101", False, "duplicate_after_merge"), ("lead:9", True, None)]
    assert await world.owed("lead", "101") == [("upload", "skipped", "withdrawn")]
    assert await world.owed("lead", "lead:9") == [("upload", "pending", "new")]
    assert await world.count() == (1, 2)


async def test_a_lead_that_was_sent_is_not_sent_again_for_its_contact(database: Database) -> None:
    """The lead's conversion was accepted before it became a contact."""
    world = await joined_world(database)
    await world.record(crm_lead("9", created=1, email="a@x.example"))
    await world.settle(milestone="lead")

    await world.record(crm_lead("9", people=("101",), created=1, modified=31, email="a@x.example"))
    await world.record(contact("101", created=3, email="a@x.example"))

    assert await world.owed("lead") == [("upload", "accepted", "delivered")]
    assert [one for one in await world.facts("lead") if one[1]] == [("lead:9", True, None)]


async def test_two_leads_of_one_contact_are_one_person(database: Database) -> None:
    """HubSpot keeps a lead record for each sales attempt on a contact."""
    world = await joined_world(database)

    await world.record(crm_lead("8", people=("101",), created=2))
    await world.record(crm_lead("9", people=("101",), created=1), contact("101", created=3, email="a@x.example"))

    assert await _groups(database) == [["contact:101", "lead:8", "lead:9"]]
    assert [one for one in await _live(database) if one[0] == "lead"] == [("lead", int(day(1).timestamp() * 1000))]


async def test_the_first_contact_of_a_lead_stays(database: Database) -> None:
    """Moving a lead between people would move what was told to a platform."""
    world = await joined_world(database)
    await world.record(crm_lead("9", people=("101",)), contact("101"), contact("102"))

    await world.record(crm_lead("9", people=("102",), modified=31))

    assert await _groups(database) == [["contact:101", "lead:9"], ["contact:102"]]


async def test_a_lead_goes_with_its_contact_when_that_is_merged(database: Database) -> None:
    """The contact of the lead was a double."""
    world = await joined_world(database)
    await world.record(crm_lead("9", people=("102",), created=1), contact("102", created=2), contact("101", created=3))

    await world.record(contact("101", created=3, merged=("102",), modified=31))

    assert await _groups(database) == [["contact:101", "contact:102", "lead:9"]]
    assert await _state(database, LEAD, "9") == "live"
    assert [one for one in await _live(database) if one[0] == "lead"] == [("lead", int(day(1).timestamp() * 1000))]


async def test_a_lead_and_a_contact_of_one_number_are_two_people(database: Database) -> None:
    """HubSpot numbers each kind of record by itself: the ids of their conversions must not meet."""
    world = await joined_world(database)

    await world.record(contact("101", created=1, email="a@x.example"), crm_lead("101", created=2, email="b@x.example"))

    assert await _groups(database) == [["contact:101"], ["lead:101"]]
    assert await world.facts("lead") == [("101", True, None), ("lead:101", True, None)]


async def test_a_primary_contact_comes_before_others(database: Database) -> None:
    """A HubSpot lead may name several contacts; one of them is primary."""
    world = await joined_world(database)
    links = (PersonLink(RecordRef(CONTACT, "102")), PersonLink(RecordRef(CONTACT, "101"), is_primary=True))

    await world.record(contact("101"), contact("102"), replace(crm_lead("9"), people=links))

    assert await _groups(database) == [["contact:101", "lead:9"], ["contact:102"]]


async def test_the_contact_of_a_wanted_lead_is_asked_for(database: Database) -> None:
    """Read long before it mattered, it would come again only with its next change."""
    world = await joined_world(database)

    await world.record(crm_lead("9", people=("101",), created=1))

    async with database.read() as connection:
        hints = await waiting_hints(connection, 1, 10)
        known = await versions(connection, 1, CONTACT, ["101"])
    assert [hint.ref for hint in hints] == [RecordRef(CONTACT, "101")]
    assert known == {}


async def test_a_lead_may_be_the_person_of_a_deal(database: Database) -> None:
    """A CRM lead without a contact can stand on a deal."""
    world = await joined_world(database)
    links = (PersonLink(RecordRef(LEAD, "9")),)

    await world.record(
        crm_lead("9", created=-70, email="a@x.example"), replace(deal("202", (9, "won"), amount="5"), people=links)
    )

    assert await _groups(database) == [["lead:9"]]
    assert {row["lead_id"] is None for row in await world.conversions("closed_revenue")} == {False}


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_a_lead_converted_to_a_deal_is_its_person(database: Database, order: tuple[int, ...]) -> None:
    """Pipedrive shows a converted lead no longer: that is no deletion, and the deal is the same lead."""
    world = await joined_world(database)
    pages = (
        crm_lead("9", created=1, email="a@x.example"),
        converted(deal("202", (9, "won"), people=(), amount="5"), "9"),
        crm_lead("9", created=1, state=RecordState.DELETED),
    )
    for place in order:
        await world.record(pages[place])
    await world.record(deal("202", (9, "won"), people=(), modified=31, amount="6"))

    assert await _state(database, LEAD, "9") == "converted"
    assert [one["lead_id"] is None for one in await world.conversions("closed_revenue")] == [False]
    assert [name for name, _ in await _live(database) if name == "lead"] == ["lead"]
    assert len(await _people(database)) == 1


async def test_the_person_of_a_deal_is_the_lead_that_became_it(database: Database) -> None:
    """The person was named on the deal only when the lead was converted."""
    world = await joined_world(database)
    await world.record(crm_lead("9", created=1, GCLID__c="click-1"))

    await world.record(contact("101", created=3, email="a@x.example"), converted(deal("202", (9, "won"), amount="5"), "9"))

    assert await _groups(database) == [["contact:101", "lead:9"]]
    assert {"email_sha256", "gclid"} <= set((await _people(database))[0])
    assert [one for one in await _live(database) if one[0] == "lead"] == [("lead", int(day(1).timestamp() * 1000))]


async def test_a_deal_of_an_unknown_lead_has_nobody_until_it_is_read(database: Database) -> None:
    """Only the lead's name is known: nothing is counted for a person of whom nothing is known."""
    world = await joined_world(database)

    await world.record(converted(deal("202", (9, "won"), people=(), amount="5"), "9"))

    assert [one["lead_id"] for one in await world.conversions("closed_revenue")] == [None]
    assert (await world.count())[0] == 0


@dataclass
class _Crm:
    """A source of its own on the shared database; it fetches what the service asks for."""

    world: World
    pages: dict[RecordRef, Record] = field(default_factory=dict)

    async def show(self, page: Sequence[Record]) -> None:
        """Record a page with the people of its deals that are not known, and fetch what is asked for then."""
        named = [link.ref for record in page if record.ref.kind is DEAL for link in record.people or ()]
        async with self.world.database.read() as connection:
            known = {
                RecordRef(kind, ref)
                for kind in (CONTACT, LEAD)
                for ref in await versions(connection, self.world.source.id, kind, [one.external_id for one in named])
            }
        brought = [self.pages[ref] for ref in dict.fromkeys(named) if ref not in known and ref in self.pages]
        await self._record([*brought, *page])
        async with self.world.database.read() as connection:
            hints = await waiting_hints(connection, self.world.source.id, 50)
        if hints:
            await self._record([self.pages[hint.ref] for hint in hints], hints)

    async def _record(self, page: Sequence[Record], hints: Sequence[Any] = ()) -> None:
        await self.world.hold()
        await self.world.recorder.record(self.world.source, page, self.world.now, LEASE, hints=hints)


_NUMBERS = count(2)
_CREATED = st.sampled_from([-70.0, 1.0, 2.0, 3.0])


@st.composite
def _accounts(draw: st.DrawFn) -> list[Record]:
    """Two contacts, three leads, two deals, related in any way that a CRM allows."""
    people = st.sampled_from([None, ("101",), ("102",), ("101", "102")])
    made: list[Record] = [
        contact(ref, *draw(st.sampled_from([(), ((4, "mql"),)])), created=draw(_CREATED), email=f"{ref}@x.example")
        for ref in ("101", "102")
    ]
    for ref in ("7", "8", "9"):
        steps = draw(st.sampled_from([(), ((5, "Qualified"),)]))
        made.append(crm_lead(ref, *steps, people=draw(people), created=draw(_CREATED), GCLID__c=f"click-{ref}"))
    free = ["7", "8", "9"]
    for ref in ("202", "203"):
        named = draw(st.sampled_from([(), ("contact:101",), ("contact:102", "lead:7"), ("lead:8",)]))
        links = tuple(PersonLink(RecordRef(ObjectKind(kind), one)) for kind, _, one in (text.partition(":") for text in named))
        one = replace(deal(ref, (9, "won"), amount="5"), people=links)
        became = draw(st.sampled_from([None, *free]))
        if became is not None:
            free.remove(became)
            lead = next(one for one in made if one.ref == RecordRef(LEAD, became))
            # What became a deal has the deal's contact, or none.
            contacts = tuple(link for link in links if link.ref.kind is CONTACT)
            made[made.index(lead)] = replace(lead, people=contacts or None)
            one = converted(one, became)
        made.append(one)
    return made


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(account=_accounts(), data=st.data())
async def test_no_order_and_no_cut_of_pages_changes_what_lives(
    database: Database, account: list[Record], data: st.DataObject
) -> None:
    """Polls, sweeps and webhooks tell of the same records in any order: conversions and people must come out the same."""
    answers = []
    shuffled = data.draw(st.permutations(account))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(account) - 1))))
    pages = [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    base = await _shared(database)
    for told in ([account], pages):
        number = next(_NUMBERS)
        facts = AccountFacts("hubspot", replace(SCHEMA, account_ref=str(number)), 1)
        source = replace(source_of(WHEN, identity=IDENTITY), id=number, facts=facts)
        crm = _Crm(World(database, base.recorder, source), {record.ref: record for record in account})
        for page in told:
            await crm.show(page)
        answers.append((await _live(database, number), await _people(database, number)))

    assert answers[0] == answers[1]


_WORLDS: dict[int, World] = {}


async def _shared(database: Database) -> World:
    """One recorder for all examples of a test: they share its database and its lease."""
    if id(database) not in _WORLDS:
        _WORLDS.clear()
        _WORLDS[id(database)] = await joined_world(database)
    return _WORLDS[id(database)]
