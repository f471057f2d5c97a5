"""SQL of funnels: the database counts people, sums money and finds medians; results are bounded by `most` rows.

A person is a lead, or the leads of one source that share an e-mail: the earliest of them gives creation and attribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    RowMapping,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import among, is_sqlite
from app.db.tables import conversions, deal_people, leads, records, spend
from app.reports.days import DAY_MS, bounds_of
from app.reports.funnel_model import Base, FunnelQuery

PARTS = "\x1f"  # between platform and campaign in a group's key
REST = "\x1e"  # the key of all groups beyond the first `most`
CAMPAIGN, PLATFORM, DIMENSION = "campaign", "platform", "dimension:"

Rows = Sequence[RowMapping]


@dataclass(frozen=True, slots=True)
class Facts:
    """Statements about one query on one database: who belongs to it and what they reached."""

    connection: AsyncConnection
    query: FunnelQuery
    sources: Sequence[int]
    top: Sequence[str] = ()

    @property
    def has_spend_by_group(self) -> bool:
        """True where spend is known by the groups asked for."""
        return self.query.by in (CAMPAIGN, PLATFORM)

    # People and what they reached ---------------------------------------------------------------------------------------

    def reached(self) -> CTE:
        """person, key, created_at, and the conversion's columns: one row for each conversion of the people asked for."""
        return (self._of_cohort() if self.query.base is Base.COHORT else self._of_period()).cte("facts")

    def people(self) -> CTE:
        """The people of the cohort: the earliest lead of each e-mail, created in the period."""
        lead, earlier = leads.alias("lead"), leads.alias("earlier")
        comes_later = or_(
            earlier.c.created_at < lead.c.created_at,
            and_(earlier.c.created_at == lead.c.created_at, earlier.c.id < lead.c.id),
        )
        is_second = (
            select(earlier.c.id)
            .where(
                earlier.c.source_id == lead.c.source_id,
                earlier.c.email_hmac.is_not(None),
                earlier.c.email_hmac == lead.c.email_hmac,
                comes_later,
            )
            .exists()
        )
        return (
            select(lead.c.id, lead.c.source_id, lead.c.email_hmac, lead.c.created_at, self._key(lead).label("key"))
            .where(lead.c.source_id.in_(self.sources), ~is_second, *self._in_period(lead.c.created_at), *self._filters(lead))
            .cte("people")
        )

    def _of_cohort(self) -> Select[Any]:
        people, other = self.people(), leads.alias("other")
        same = and_(
            other.c.source_id == people.c.source_id,
            other.c.email_hmac.is_not(None),
            other.c.email_hmac == people.c.email_hmac,
            other.c.id != people.c.id,
        )
        members = union_all(
            select(people.c.id.label("person"), people.c.id.label("lead_id"), people.c.key, people.c.created_at),
            select(people.c.id, other.c.id, people.c.key, people.c.created_at).join(other, same),
        ).cte("members")
        known = select(members.c.person, members.c.key, members.c.created_at, *_CONVERSION).join(
            conversions, conversions.c.lead_id == members.c.lead_id
        )
        late = (
            select(*_CONVERSION, _LEAD_OF_DEAL.label("lead_id"), conversions.c.record_id)
            .where(conversions.c.lead_id.is_(None), conversions.c.source_id.in_(self.sources))
            .cte("late")
        )
        told = [late.c[column.name] for column in _CONVERSION]
        adopted = select(members.c.person, members.c.key, members.c.created_at, *told).join(
            late, late.c.lead_id == members.c.lead_id
        )
        parts = [known, adopted]
        if not self._asks_for_people():
            born_at = func.coalesce(records.c.created_at, late.c.occurred_at)
            parts.append(
                select(-late.c.record_id, self._no_key(), cast(null(), BigInteger), *told)
                .join(records, records.c.id == late.c.record_id)
                .where(late.c.lead_id.is_(None), *self._in_period(born_at))
            )
        return select(union_all(*parts).subquery("all_of_them"))

    def _of_period(self) -> Select[Any]:
        own, first, home = leads.alias("own"), leads.alias("first"), leads.alias("home")
        earliest = (
            select(first.c.id)
            .where(first.c.source_id == own.c.source_id, first.c.email_hmac.is_not(None), first.c.email_hmac == own.c.email_hmac)
            .order_by(first.c.created_at, first.c.id)
            .limit(1)
            .scalar_subquery()
        )
        lead_id = case((conversions.c.lead_id.is_(None), _LEAD_OF_DEAL), else_=conversions.c.lead_id)
        joined = conversions.outerjoin(own, own.c.id == lead_id).outerjoin(home, home.c.id == func.coalesce(earliest, own.c.id))
        return (
            select(
                func.coalesce(home.c.id, -conversions.c.record_id).label("person"),
                self._key(home).label("key"),
                home.c.created_at,
                *_CONVERSION,
            )
            .select_from(joined)
            .where(
                conversions.c.source_id.in_(self.sources),
                *self._in_period(conversions.c.occurred_at),
                *self._filters(home),
            )
        )

    # Groups -------------------------------------------------------------------------------------------------------------

    def _key(self, lead: Any) -> ColumnElement[str]:
        by = self.query.by
        if by == CAMPAIGN:
            platform = func.coalesce(lead.c.platform, "")
            campaign = case((lead.c.platform.is_(None), ""), else_=func.coalesce(lead.c.campaign_id, ""))
            return platform.concat(_text(PARTS)).concat(campaign)
        if by == PLATFORM:
            return func.coalesce(lead.c.platform, "")
        if by is not None and by.startswith(DIMENSION):
            return func.coalesce(self._dimension(lead, by.removeprefix(DIMENSION)), "")
        return _text("")

    def _no_key(self) -> ColumnElement[str]:
        return _text(PARTS if self.query.by == CAMPAIGN else "")

    def _spend_key(self) -> ColumnElement[str]:
        if self.query.by == CAMPAIGN:
            return spend.c.platform.concat(_text(PARTS)).concat(spend.c.campaign_id)
        return spend.c.platform if self.query.by == PLATFORM else _text("")

    def _shown(self, key: ColumnElement[str]) -> ColumnElement[str]:
        """The key, or the rest's where it is not among the first."""
        if self.query.by is None:
            return key
        return case((among(self.connection, cast(key, Text), list(self.top)), key), else_=_text(REST))

    def _dimension(self, lead: Any, name: str) -> ColumnElement[str]:
        if is_sqlite(self.connection):
            return func.json_extract(lead.c.dimensions_json, '$."' + name.replace('"', "") + '"')
        return cast(lead.c.dimensions_json, JSONB).op("->>")(_text(name))

    def _asks_for_people(self) -> bool:
        return (self.query.platform, self.query.campaign_id, self.query.dimension) != (None, None, None)

    def _filters(self, lead: Any) -> list[ColumnElement[bool]]:
        found = []
        if self.query.platform is not None:
            found.append(lead.c.platform == self.query.platform)
        if self.query.campaign_id is not None:
            found.append(lead.c.campaign_id == self.query.campaign_id)
        if self.query.dimension is not None:
            name, value = self.query.dimension
            found.append(self._dimension(lead, name) == value)
        return found

    def _in_period(self, instant: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        since, until = bounds_of(self.query.since, self.query.until)
        return [*([instant >= since] if since is not None else []), *([instant < until] if until is not None else [])]

    def _spent(self) -> list[ColumnElement[bool]]:
        found = []
        if self.query.since is not None:
            found.append(spend.c.day >= self.query.since.isoformat())
        if self.query.until is not None:
            found.append(spend.c.day <= self.query.until.isoformat())
        if self.query.platform is not None:
            found.append(spend.c.platform == self.query.platform)
        if self.query.campaign_id is not None:
            found.append(spend.c.campaign_id == self.query.campaign_id)
        return found

    # Answers ------------------------------------------------------------------------------------------------------------

    async def spend_currencies(self) -> Rows:
        """currency, rows, newest day: what the spend of the period is kept in."""
        statement = (
            select(spend.c.currency, func.count().label("rows"), func.max(spend.c.day).label("newest"))
            .where(*self._spent())
            .group_by(spend.c.currency)
            .order_by(func.count().desc(), spend.c.currency)
        )
        return await self._all(statement)

    async def largest(self, weights: Sequence[tuple[str, float]]) -> list[str]:
        """The keys of the first `most` groups: by spend (weighed by currency, only to rank), then by people."""
        people = self.people() if self.query.base is Base.COHORT else self.reached()
        parts = [select(people.c.key, literal(0.0).label("cost"), func.count().label("people")).group_by(people.c.key)]
        if self.has_spend_by_group and self.query.dimension is None:
            weight = case(*((spend.c.currency == name, each) for name, each in weights), else_=1.0) if weights else literal(1.0)
            each = (
                select(self._spend_key().label("key"), (spend.c.cost_micros * weight).label("cost"))
                .where(*self._spent())
                .subquery("each")
            )
            parts.append(select(each.c.key, func.sum(each.c.cost), literal(0)).group_by(each.c.key))
        both = union_all(*parts).subquery("both")
        ranked = (
            select(both.c.key)
            .group_by(both.c.key)
            .order_by(func.sum(both.c.cost).desc(), func.sum(both.c.people).desc(), both.c.key)
            .limit(self.query.most)
        )
        return [row["key"] for row in await self._all(ranked)]

    async def counts(self) -> Rows:
        """shown, milestone, people, implied, ended, duplicates: each person once for each milestone."""
        facts = self.reached()
        counts_now = and_(facts.c.live, facts.c.duplicate_of.is_(None))
        each = (
            select(
                self._shown(facts.c.key).label("shown"),
                facts.c.milestone,
                func.max(case((counts_now, 1), else_=0)).label("is_live"),
                func.max(case((and_(counts_now, ~facts.c.implied), 1), else_=0)).label("is_real"),
                func.max(case((facts.c.live, 0), else_=1)).label("has_ended"),
                func.max(case((and_(facts.c.live, facts.c.duplicate_of.is_not(None)), 1), else_=0)).label("is_duplicate"),
            )
            .group_by(facts.c.person, facts.c.key, facts.c.milestone)
            .subquery("each")
        )
        counted = select(
            each.c.shown,
            each.c.milestone,
            func.sum(each.c.is_live).label("people"),
            func.sum(each.c.is_live - each.c.is_real).label("implied"),
            func.sum(case((each.c.is_live == 0, each.c.has_ended), else_=0)).label("ended"),
            func.sum(each.c.is_duplicate).label("duplicates"),
        ).group_by(each.c.shown, each.c.milestone)
        return await self._all(counted)

    async def revenue(self, currency: str | None) -> Rows:
        """shown, currency, day (only of other currencies than the report's), micros, unvalued: of what was won and still is."""
        facts = self.reached()
        day = case((facts.c.currency == currency, None), else_=facts.c.occurred_at // DAY_MS) if currency else _no_day()
        each = (
            select(
                self._shown(facts.c.key).label("shown"), facts.c.currency, day.label("day"), facts.c.amount_micros.label("micros")
            )
            .where(facts.c.live, facts.c.duplicate_of.is_(None), facts.c.milestone == self.query.steps.customer)
            .subquery("each")
        )
        won = select(
            each.c.shown,
            each.c.currency,
            each.c.day,
            func.sum(each.c.micros).label("micros"),
            func.sum(case((each.c.micros.is_(None), 1), else_=0)).label("unvalued"),
        ).group_by(each.c.shown, each.c.currency, each.c.day)
        return await self._all(won)

    async def spent(self, currency: str | None) -> Rows:
        """shown, currency, day (as above, in ISO), micros, clicks, impressions, and the newest name of the campaign."""
        day = case((spend.c.currency == currency, None), else_=spend.c.day)
        named = spend.c.day.concat(spend.c.campaign_name)
        each = (
            select(
                (self._shown(self._spend_key()) if self.has_spend_by_group else _text("")).label("shown"),
                day.label("rate_day"),
                named.label("named"),
                spend,
            )
            .where(*self._spent())
            .subquery("each")
        )
        statement = select(
            each.c.shown,
            each.c.currency,
            each.c.rate_day.label("day"),
            func.sum(each.c.cost_micros).label("micros"),
            func.sum(each.c.clicks).label("clicks"),
            func.sum(each.c.impressions).label("impressions"),
            func.substr(func.max(each.c.named), len("2026-11-22") + 1).label("name"),
        ).group_by(each.c.shown, each.c.currency, each.c.rate_day)
        return await self._all(statement)

    async def lags(self, *, is_total: bool) -> Rows:
        """shown, low, high: the two middle spans in milliseconds from a person's creation to the first customer milestone."""
        facts = self.reached()
        key = _text("") if is_total else self._shown(facts.c.key)
        won_at = func.min(facts.c.occurred_at)
        lag = case((won_at > facts.c.created_at, won_at - facts.c.created_at), else_=0)
        each = (
            select(key.label("shown"), lag.label("lag"))
            .where(
                facts.c.live,
                facts.c.duplicate_of.is_(None),
                facts.c.milestone == self.query.steps.customer,
                facts.c.created_at.is_not(None),
            )
            .group_by(facts.c.person, facts.c.key, facts.c.created_at)
            .subquery("each")
        )
        ranked = select(
            each.c.shown,
            each.c.lag,
            func.row_number().over(partition_by=each.c.shown, order_by=each.c.lag).label("place"),
            func.count().over(partition_by=each.c.shown).label("size"),
        ).subquery("ranked")
        is_middle = or_(ranked.c.place == (ranked.c.size + 1) // 2, ranked.c.place == (ranked.c.size + 2) // 2)
        middle = (
            select(ranked.c.shown, func.min(ranked.c.lag).label("low"), func.max(ranked.c.lag).label("high"))
            .where(is_middle)
            .group_by(ranked.c.shown)
        )
        return await self._all(middle)

    async def _all(self, statement: Select[Any]) -> Rows:
        rows: Rows = (await self.connection.execute(statement)).mappings().all()
        return rows


def _text(value: str) -> ColumnElement[str]:
    return cast(bindparam(None, value, type_=Text, unique=True), Text)


def _no_day() -> ColumnElement[Any]:
    return cast(null(), BigInteger)


_PERSON = records.alias("person")
# A deal that was won before anybody was put on it: whoever is on it now, the primary and then the earliest first.
_LEAD_OF_DEAL = (
    select(_PERSON.c.lead_id)
    .join(deal_people, deal_people.c.person_id == _PERSON.c.id)
    .where(deal_people.c.deal_id == conversions.c.record_id, _PERSON.c.lead_id.is_not(None))
    .order_by(deal_people.c.primary.desc(), _PERSON.c.created_at, _PERSON.c.id)
    .limit(1)
    .scalar_subquery()
)
_CONVERSION = (
    conversions.c.milestone,
    conversions.c.live,
    conversions.c.implied,
    conversions.c.duplicate_of,
    conversions.c.occurred_at,
    # Its own value, where what is sent is only a share of it.
    func.coalesce(conversions.c.nominal_micros, conversions.c.amount_micros).label("amount_micros"),
    func.coalesce(conversions.c.nominal_currency, conversions.c.currency).label("currency"),
)
