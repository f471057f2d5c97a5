"""Whatever happens to a lead: its conversions never carry more than it is worth, and what platforms know too much is exact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import accounts, conversions, deliveries, destinations, records, sources
from app.ingest.context import DestinationTerms, SourceContext
from app.mapping.aggregate import AccountFacts
from app.mapping.selection import selection_of
from app.reports.books import BooksQuery, books
from app.reports.trace import trace
from app.secrets import Keyring
from connectors.contract.records import Record
from tests.integration.recorder_rig import LIMITS, TARGETS, World, contact, deal, source_of, world_of
from tests.unit.mapping.mapping_rig import SCHEMA, document

USD = 1_000_000
QUALIFIED, OPPORTUNITY = 50, 300
VALUES: dict[str, dict[str, Any]] = {
    "opportunity": {"value": {"model": "fixed", "amount": OPPORTUNITY, "currency": "USD"}},
}
HELD, WON = ("qualified", "proposal", "won"), "won"
LIFE, STAGES = ("subscriber", "mql", "customer"), ("new", "qualified", "proposal", "won", "lost")
CONTACTS, DEALS = ("101", "102"), ("201", "202", "203")
_NUMBERS = count(1000)


@dataclass(frozen=True, slots=True)
class Step:
    """One change in the CRM and what is sent after it was read."""

    ref: str
    value: str
    people: tuple[str, ...]
    amount: int
    sends: tuple[str, ...]


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """A few changes; each may be told to the platform before the next comes."""
    refs = st.sampled_from([*CONTACTS, *DEALS, *DEALS])
    names = ("qualified_lead", "opportunity", "closed_revenue")
    return [
        Step(
            ref,
            draw(st.sampled_from(LIFE if ref in CONTACTS else STAGES)),
            draw(st.sampled_from([("101",), ("102",), ("101", "102")])),
            draw(st.sampled_from([100, 500, 1000])),
            tuple(name for name in names if draw(st.booleans())),
        )
        for ref in draw(st.lists(refs, min_size=1, max_size=7))
    ]


@dataclass(slots=True)
class Oracle:
    """A CRM in memory and what its leads are worth, by other means than the product's."""

    moves: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    people: dict[str, tuple[str, ...]] = field(default_factory=dict)
    amounts: dict[str, int] = field(default_factory=dict)
    qualified: set[str] = field(default_factory=set)
    told: dict[str, int] = field(default_factory=dict)

    def takes(self, step: Step, at: float) -> list[Record]:
        """The records as the CRM shows them after this change."""
        self.moves.setdefault(step.ref, []).append((at, step.value))
        if step.ref in CONTACTS:
            return [contact(step.ref, *self.moves[step.ref], modified=at, email=f"{step.ref}@x.example")]
        self.people[step.ref], self.amounts[step.ref] = step.people, step.amount
        return [deal(step.ref, *self.moves[step.ref], people=step.people, modified=at, amount=str(step.amount))]

    def worths(self) -> dict[str, int]:
        """What each contact is worth now, in whole dollars."""
        for ref in CONTACTS:
            mine = [one for one in DEALS if one in self.moves and min(self.people[one]) == ref]
            entered = {value for one in mine for _, value in self.moves[one]}
            if "mql" in {value for _, value in self.moves.get(ref, ())} or entered & set(HELD):
                self.qualified.add(ref)
        return {ref: max(QUALIFIED if ref in self.qualified else 0, self._in_deals(ref)) for ref in CONTACTS}

    def _in_deals(self, ref: str) -> int:
        total = 0
        for one in DEALS:
            if one in self.moves and min(self.people[one]) == ref:
                stage = self.moves[one][-1][1]
                total += self.amounts[one] if stage == WON else OPPORTUNITY if stage in HELD else 0
        return total

    def overstated(self, lead_of: Mapping[str, str]) -> int:
        """What the platform counts beyond the worth, lead by lead, where it takes no correction."""
        sums: dict[str, int] = {}
        for uid, micros in self.told.items():
            sums[lead_of[uid]] = sums.get(lead_of[uid], 0) + micros
        worths = self.worths()
        return sum(max(0, micros - worths[ref] * USD) for ref, micros in sums.items())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=steps(), implied=st.sampled_from(["report", "send", "ignore"]), corrects=st.booleans())
async def test_conversions_never_carry_more_than_the_lead_is_worth(
    database: Database, story: list[Step], implied: str, *, corrects: bool
) -> None:
    """At every recording; and by how much a platform knows too much is exact in the books and in each lead's trace."""
    world, oracle = await _world(database), Oracle()
    name = await _source(world, implied, corrects=corrects)
    everybody = [contact(ref, modified=0.1, email=f"{ref}@x.example") for ref in CONTACTS]
    await world.record(*everybody)
    for at, step in enumerate(story, start=1):
        await world.record(*oracle.takes(step, float(at)))

        rows = await _conversions(world)
        worths = oracle.worths() if implied != "ignore" else await _worths(world)
        carried: dict[str, int] = {}
        for row in rows:
            if row["live"]:
                carried[row["ref"]] = carried.get(row["ref"], 0) + (row["amount_micros"] or 0)
        assert all(micros <= worths.get(ref, 0) * USD for ref, micros in carried.items())
        if implied != "ignore":
            stored = await _worths(world)
            assert stored == {ref: worth for ref, worth in worths.items() if ref in stored}
            wanted = 0 if corrects else oracle.overstated({row["uid"]: row["ref"] for row in rows})
            assert await _overstated(database, name) == wanted
            assert await _overstated_by_trace(world, name) == wanted
        oracle.told |= await _send(world, step.sends)


async def _source(world: World, implied: str, *, corrects: bool) -> str:
    """A source of its own for each example, with one destination."""
    number = next(_NUMBERS)
    changes: dict[str, dict[str, Any]] = {one: {"implied": implied} for one in ("qualified_lead", "opportunity")}
    changes["opportunity"] |= VALUES["opportunity"]
    by = document(changes, value_mode="incremental")
    base: SourceContext = source_of()
    limits = replace(LIMITS, restates=corrects, retracts=corrects)
    world.source = replace(
        base,
        id=number,
        name=f"crm{number}",
        document=by,
        facts=AccountFacts("hubspot", replace(SCHEMA, account_ref=str(number)), 1),
        selection=selection_of(by, SCHEMA),
        destinations=(DestinationTerms(number, f"ads{number}", limits, targets=TARGETS),),
    )
    sealed = {"kind": "x", "settings_sealed": b"", "created_at": 0}
    async with world.database.write() as connection:
        await connection.execute(sources.insert().values(id=number, name=f"crm{number}", **sealed))
        await connection.execute(destinations.insert().values(id=number, name=f"ads{number}", **sealed))
    return f"crm{number}"


async def _conversions(world: World) -> Sequence[Mapping[str, Any]]:
    """Each with the ref of its contact."""
    query = (
        select(conversions, records.c.external_id.label("ref"))
        .join(records, records.c.lead_id == conversions.c.lead_id)
        .where(conversions.c.source_id == world.source.id)
    )
    async with world.database.read() as connection:
        return [dict(row) for row in (await connection.execute(query)).mappings()]


async def _worths(world: World) -> dict[str, int]:
    query = (
        select(records.c.external_id, accounts.c.worth_micros)
        .join(accounts, accounts.c.id == records.c.lead_id)
        .where(records.c.source_id == world.source.id)
    )
    async with world.database.read() as connection:
        return {row.external_id: row.worth_micros // USD for row in await connection.execute(query)}


async def _send(world: World, names: Sequence[str]) -> dict[str, int]:
    """What a dispatcher does: freeze and send what waits of these milestones; what the platform counts from then on."""
    async with world.database.write() as connection:
        waiting = (
            select(deliveries.c.id, conversions.c.uid, conversions.c.amount_micros, conversions.c.currency)
            .join(conversions, conversions.c.id == deliveries.c.conversion_id)
            .where(deliveries.c.source_id == world.source.id, deliveries.c.kind == "upload", deliveries.c.state == "pending")
            .where(conversions.c.milestone.in_(names))
        )
        rows = list(await connection.execute(waiting))
        for row in rows:
            sent = {"sent_amount_micros": row.amount_micros, "sent_currency": row.currency}
            done = {"state": "accepted", "reason": "delivered", "frozen": True, "tries": 1, "due_at": None}
            values = {**done, **sent, "settled_at": to_ms(world.now)}
            await connection.execute(update(deliveries).where(deliveries.c.id == row.id).values(**values))
    return {row.uid: row.amount_micros or 0 for row in rows}


async def _overstated(database: Database, name: str) -> int:
    found = await books(database, BooksQuery(source=name))
    assert all(one.mixed == 0 for one in found.overstated)
    return sum(one.micros for one in found.overstated)


async def _overstated_by_trace(world: World, name: str) -> int:
    total = 0
    for ref in CONTACTS:
        found = await trace(world.database, KEYRING, f"contact:{ref}", world.now, name)
        if found is not None and found.account is not None:
            total += sum(one.amount_micros for one in found.account.overstated.values() if one is not None)
    return total


KEYRING = Keyring([b"k" * 32])
_WORLDS: dict[int, World] = {}


async def _world(database: Database) -> World:
    """One recorder for all examples of a test: they share its database and its lease."""
    if id(database) not in _WORLDS:
        _WORLDS.clear()
        _WORLDS[id(database)] = await world_of(database)
    return _WORLDS[id(database)]
