"""SQL of outcomes: what became of the leads that reached a milestone, counted by the database by segment, age and outcome.

A lead here is what the milestone is counted by: a deal, or a person. Only real entries count: what is implied by a later
milestone is known only of those who got that far.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, is_sqlite
from app.db.tables import conversions, entries, leads, records
from app.mapping.aggregate import EndReason
from app.mapping.fits import LEAST_OF_A_SEGMENT, Segment
from app.mapping.fitting import Course, Outcome
from app.mapping.stages import LOST, StageBook
from connectors.contract.records import ObjectKind, RecordState

DAY_MS = 86_400_000
# Larger than any instant: what did not happen.
NEVER = 2**62
DEAL = ObjectKind.DEAL.value
PARTS = "\x1f"  # between the parts of a segment
REST = "\x1e"  # the segments that are not kept


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose outcomes: of the leads of a source that reached a milestone (under one of its names) between two instants.

    `won` and `disqualified` are the names of these milestones. `wins_by_deal`: a deal is won by its own sale. `by` names the
    parts of a segment, `dimensions` those that are declared ones.
    """

    source_id: int
    names: tuple[str, ...]
    won: tuple[str, ...]
    disqualified: tuple[str, ...]
    wins_by_deal: bool
    stages: StageBook
    since_ms: int
    now_ms: int
    by: Segment = ()
    dimensions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SalesRow:
    """Sales of a segment in one currency (on one day, where that is not the one asked for). `unvalued` have no amount."""

    segment: Segment | None
    currency: str | None
    day: int | None
    micros: int
    sales: int
    unvalued: int


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The statements about one question on one database. Of segments beyond those `kept` the answers are told together (None)."""

    connection: AsyncConnection
    asked: Asked
    kept: Sequence[Segment] = ()

    async def largest(self, most: int) -> list[Segment]:
        """The segments of the most leads, those of a few left out."""
        ends = self._ends()
        many = func.count()
        statement = (
            select(ends.c.segment)
            .group_by(ends.c.segment)
            .having(many >= LEAST_OF_A_SEGMENT)
            .order_by(many.desc(), ends.c.segment)
            .limit(most)
        )
        found = [tuple(str(key).split(PARTS)) for key in await self.connection.scalars(statement)]
        return [segment for segment in found if len(segment) == len(self.asked.by)]

    async def courses(self) -> list[tuple[Segment | None, Course]]:
        """How many leads met which outcome at which age."""
        ends = self._ends()
        each = select(self._shown(ends.c.segment).label("segment"), ends.c.age, ends.c.outcome).subquery("each")
        groups = (each.c.segment, each.c.age, each.c.outcome)
        rows = await self.connection.execute(select(*groups, func.count().label("leads")).group_by(*groups))
        return [(self._read(segment), Course(int(age), Outcome(outcome), int(many))) for segment, age, outcome, many in rows]

    async def sales(self, currency: str) -> list[SalesRow]:
        """What the leads that were won brought since they reached the milestone."""
        ends = self._ends()
        deals, people = self._sold(conversions.c.scope_key, conversions.c.scope_kind == DEAL), self._sold(conversions.c.lead_id)
        is_won, is_by_deal = ends.c.outcome == Outcome.WON.value, self._is_by_deal(ends)
        parts = [
            select(ends.c.segment, sold.c.currency, sold.c.day, sold.c.micros, sold.c.sales, sold.c.valued).join_from(
                ends, sold, on
            )
            for sold, on in (
                (deals, and_(is_won, is_by_deal, deals.c.key == ends.c.scope_key)),
                (people, and_(is_won, ~is_by_deal, people.c.key == ends.c.lead_id)),
            )
        ]
        both = union_all(*parts).subquery("both")
        day = case((both.c.currency == currency, None), else_=both.c.day)
        shown = self._shown(both.c.segment)
        told = (both.c.micros, both.c.sales, both.c.valued)
        each = select(shown.label("segment"), both.c.currency, day.label("day"), *told).subquery("each")
        groups = (each.c.segment, each.c.currency, each.c.day)
        sums = (func.sum(each.c.micros), func.sum(each.c.sales), func.sum(each.c.valued))
        rows = await self.connection.execute(select(*groups, *sums).group_by(*groups))
        return [
            SalesRow(self._read(segment), unit, on, int(micros), int(valued), int(sales) - int(valued))
            for segment, unit, on, micros, sales, valued in rows
        ]

    def _sold(self, key: ColumnElement[Any], *conditions: ColumnElement[bool]) -> CTE:
        """key, currency, day, micros, sales, valued: live sales by deal or lead. Who was won before is no unit, so all count."""
        # Its own value, where what is sent is only a share of it.
        currency = func.coalesce(conversions.c.nominal_currency, conversions.c.currency)
        micros = func.coalesce(conversions.c.nominal_micros, conversions.c.amount_micros)
        day = conversions.c.occurred_at // DAY_MS
        own = _live(conversions, self.asked.source_id, self.asked.won)
        sold = (
            select(key.label("key"), currency.label("currency"), micros.label("micros"), day.label("day"))
            .where(*own, key.is_not(None), *conditions)
            .subquery()
        )
        groups, valued = (sold.c.key, sold.c.currency, sold.c.day), func.count(sold.c.micros)
        sums = (func.coalesce(func.sum(sold.c.micros), 0).label("micros"), func.count().label("sales"), valued.label("valued"))
        return self._once(select(*groups, *sums).group_by(*groups), f"sold_by_{key.key}")

    # Leads and their ends -------------------------------------------------------------------------------------------------

    def _ends(self) -> CTE:
        """scope_kind, scope_key, lead_id, reached_at, segment, outcome, age: one row a lead that was not won before it."""
        units, asked = self._units(), self.asked
        own, survivor = records.alias("own"), records.alias("survivor")
        of_deal, of_lead = conversions.c.scope_key, conversions.c.lead_id
        won_deals = self._instants("won_deals", of_deal, func.min, asked.won, conversions.c.scope_kind == DEAL)
        won_leads = self._instants("won_leads", of_lead, func.min, asked.won)
        out_leads = self._instants("out_leads", of_lead, func.max, asked.disqualified)
        won_at = case((self._is_by_deal(units), won_deals.c.at), else_=won_leads.c.at)
        deals_lost = self._deals_lost()
        told = (
            select(
                units,
                won_at.label("won_at"),
                self._lost_at(func.coalesce(own.c.merged_into, own.c.id), units.c.reached_at).label("lost_at"),
                case(
                    (func.coalesce(survivor.c.state, own.c.state) != RecordState.DELETED.value, NEVER),
                    else_=func.coalesce(survivor.c.modified_at, own.c.modified_at),
                ).label("deleted_at"),
                out_leads.c.at.label("disqualified_at"),
                case((units.c.scope_kind != DEAL, deals_lost.c.lost_at), else_=NEVER).label("deals_lost_at"),
            )
            .select_from(units)
            .outerjoin(own, own.c.id == units.c.record_id)
            .outerjoin(survivor, survivor.c.id == own.c.merged_into)
            .outerjoin(deals_lost, deals_lost.c.lead_id == units.c.lead_id)
            .outerjoin(won_deals, won_deals.c.key == units.c.scope_key)
            .outerjoin(won_leads, won_leads.c.key == units.c.lead_id)
            .outerjoin(out_leads, out_leads.c.key == units.c.lead_id)
        )
        facts = self._once(told, "facts")
        instants = [facts.c.lost_at, facts.c.deleted_at, facts.c.disqualified_at, facts.c.deals_lost_at, facts.c.left_at]
        after = [case((one >= facts.c.reached_at, one), else_=NEVER) for one in instants]
        lost_at = (func.min if is_sqlite(self.connection) else func.least)(*after)
        outcome = case(
            (facts.c.won_at.is_not(None), _text(Outcome.WON)),
            (lost_at <= asked.now_ms, _text(Outcome.LOST)),
            else_=_text(Outcome.OPEN),
        )
        ended_at = case((facts.c.won_at.is_not(None), facts.c.won_at), (lost_at <= asked.now_ms, lost_at), else_=asked.now_ms)
        age = (cast(ended_at, BigInteger) - facts.c.reached_at) // DAY_MS
        kept = [facts.c[name] for name in ("scope_kind", "scope_key", "lead_id", "reached_at")]
        ends = select(*kept, self._segment(facts).label("segment"), outcome.label("outcome"), age.label("age"))
        return self._once(ends.where(or_(facts.c.won_at.is_(None), facts.c.won_at >= facts.c.reached_at)), "ends")

    def _units(self) -> CTE:
        """scope_kind, scope_key, lead_id, record_id, reached_at, and when it left, where it did and stays out."""
        asked = self.asked
        left_at = case((conversions.c.live, NEVER), else_=func.coalesce(conversions.c.ended_at, NEVER))
        has_counted = or_(conversions.c.ended_why.is_(None), conversions.c.ended_why != EndReason.DUPLICATE_AFTER_MERGE.value)
        return (
            select(
                conversions.c.scope_kind,
                conversions.c.scope_key,
                func.max(conversions.c.lead_id).label("lead_id"),
                func.min(conversions.c.record_id).label("record_id"),
                func.min(conversions.c.occurred_at).label("reached_at"),
                func.max(left_at).label("left_at"),
            )
            .where(
                conversions.c.source_id == asked.source_id,
                conversions.c.milestone.in_(asked.names),
                conversions.c.occurred_at.between(asked.since_ms, asked.now_ms),
                ~conversions.c.implied,
                conversions.c.duplicate_of.is_(None),
                has_counted,
            )
            .group_by(conversions.c.scope_kind, conversions.c.scope_key)
            .cte("units")
        )

    def _is_by_deal(self, units: FromClause) -> ColumnElement[bool]:
        return units.c.scope_kind == DEAL if self.asked.wins_by_deal else false()

    def _instants(
        self, name: str, key: ColumnElement[Any], first_or_last: Any, milestones: Sequence[str], *conditions: ColumnElement[bool]
    ) -> CTE:
        """key, at: when each deal or lead reached one of these milestones."""
        own = _live(conversions, self.asked.source_id, milestones)
        at = first_or_last(conversions.c.occurred_at).label("at")
        return self._once(select(key.label("key"), at).where(*own, key.is_not(None), *conditions).group_by(key), name)

    def _deals_lost(self) -> CTE:
        """lead_id, lost_at: of leads all of whose deals are lost or deleted, when the last one was."""
        asked, of, deal = self.asked, conversions.alias("of"), records.alias("deal")
        pairs = (
            select(of.c.lead_id, of.c.record_id)
            .where(of.c.source_id == asked.source_id, of.c.scope_kind == DEAL, of.c.lead_id.is_not(None))
            .distinct()
            .cte("pairs")
        )
        deleted_at = case((deal.c.state == RecordState.DELETED.value, deal.c.modified_at))
        lost_at = func.coalesce(self._lost_at(func.coalesce(deal.c.merged_into, deal.c.id), literal(0)), deleted_at)
        each = select(pairs.c.lead_id, lost_at.label("lost_at")).join_from(pairs, deal, deal.c.id == pairs.c.record_id)
        ends = self._once(each, "deal_ends")
        by_lead = select(ends.c.lead_id, func.max(ends.c.lost_at).label("lost_at")).group_by(ends.c.lead_id)
        return self._once(by_lead.having(func.count() == func.count(ends.c.lost_at)), "deals_lost")

    def _once(self, statement: Select[Any], name: str) -> CTE:
        """Worked out once and joined as a whole: looked up row by row, SQLite would go through all sales for each lead."""
        table: CTE = statement.cte(name).prefix_with("MATERIALIZED")
        return table

    def _lost_at(self, record_id: ColumnElement[Any], since: ColumnElement[Any]) -> ColumnElement[Any]:
        """When a record was lost for good: no later value of the property says otherwise."""
        lost, later = entries.alias(), entries.alias()
        goes_on = exists().where(
            later.c.record_id == lost.c.record_id,
            later.c.property == lost.c.property,
            later.c.entered_at > lost.c.entered_at,
            ~self._says_lost(later),
        )
        at = select(func.min(lost.c.entered_at)).where(
            lost.c.record_id == record_id, lost.c.entered_at >= since, self._says_lost(lost), ~goes_on
        )
        return at.scalar_subquery()

    def _says_lost(self, entry: FromClause) -> ColumnElement[bool]:
        stages = self.asked.stages
        known = [
            and_(
                entry.c.property == one.property,
                entry.c.value == one.value,
                *([] if one.pipeline is None else [or_(entry.c.pipeline.is_(None), entry.c.pipeline == one.pipeline)]),
            )
            for one in stages.lost_values()
        ]
        plainly = and_(func.lower(entry.c.value) == LOST, entry.c.property.not_in(sorted(stages.stage_properties())))
        return or_(plainly, *known)

    # Segments -------------------------------------------------------------------------------------------------------------

    def _segment(self, facts: FromClause) -> ColumnElement[str]:
        """The parts of a lead's segment in one text."""
        key = _text("")
        for place, name in enumerate(self.asked.by):
            part = self._part(name, facts)
            key = part if place == 0 else key.concat(_text(PARTS)).concat(part)
        return key

    def _part(self, name: str, facts: FromClause) -> ColumnElement[str]:
        lead = leads.alias()
        value: ColumnElement[Any]
        if name not in self.asked.dimensions:
            value = lead.c[name]
        elif is_sqlite(self.connection):
            value = func.json_extract(lead.c.dimensions_json, '$."' + name.replace('"', "") + '"')
        else:
            value = cast(lead.c.dimensions_json, JSONB).op("->>")(_text(name))
        found = select(cast(value, Text)).where(lead.c.id == facts.c.lead_id).scalar_subquery()
        return func.coalesce(found, _text(""))

    def _shown(self, key: ColumnElement[str]) -> ColumnElement[str]:
        keys = [PARTS.join(segment) for segment in self.kept]
        return case((among(self.connection, cast(key, Text), keys), key), else_=_text(REST))

    def _read(self, key: str) -> Segment | None:
        return None if key == REST else tuple(key.split(PARTS))


def _live(table: FromClause, source_id: int, names: Sequence[str]) -> list[ColumnElement[bool]]:
    return [table.c.source_id == source_id, table.c.milestone.in_(names), table.c.live, table.c.duplicate_of.is_(None)]


def _text(value: str) -> ColumnElement[str]:
    return cast(bindparam(None, str(value), type_=Text, unique=True), Text)
