"""The funnel: how many people reached what, what each step cost and what it brought, as a whole or by campaign."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.session import Database
from app.mapping.rates import Rates
from app.reports.cold_queries import rates_into, source_ids
from app.reports.days import DAY_MS, day_of
from app.reports.formulas import cheaper_but_worse, converted, middle
from app.reports.funnel_model import (
    Amount,
    Base,
    Funnel,
    FunnelQuery,
    FunnelRow,
    Metrics,
    ReportRefused,
    StepCount,
    Steps,
    figures_of,
    metrics_of,
)
from app.reports.funnel_notes import is_unattributed, notes_of, sentence_of
from app.reports.funnel_queries import CAMPAIGN, DIMENSION, PARTS, PLATFORM, REST, Facts, Rows
from app.reports.snapshot import snapshot
from connectors.contract.conversions import Money

__all__ = ["Base", "Funnel", "FunnelQuery", "FunnelRow", "Metrics", "ReportRefused", "Steps", "campaigns", "funnel", "metrics_of"]

MOST_ROWS_EVER = 1000


async def campaigns(database: Database, query: FunnelQuery) -> Funnel:
    """The funnel by campaign: spend joins leads on platform and campaign id."""
    return await funnel(database, replace(query, by=query.by or CAMPAIGN))


async def funnel(database: Database, query: FunnelQuery) -> Funnel:
    """The funnel of a period, a constant number of statements; ReportRefused where it cannot be made as asked."""
    _check(query)
    async with snapshot(database) as connection:
        report = await _report(connection, query)
        before = _before(query)
        if before is None:
            return report
        worse = cheaper_but_worse(
            figures_of((await _report(connection, before)).total, query.steps), figures_of(report.total, query.steps)
        )
    if not worse:
        return report
    alert = f"Paradox: cost per lead fell against {before.since} to {before.until}, but {' and '.join(worse)} rose."
    return replace(report, notes=(alert, *report.notes))


def _check(query: FunnelQuery) -> None:
    by = query.by
    if by not in (None, CAMPAIGN, PLATFORM) and not (by.startswith(DIMENSION) and by != DIMENSION):
        raise ReportRefused(f"`{by}` is nothing to break down by; use campaign, platform or dimension:NAME")
    if query.since is not None and query.until is not None and query.until < query.since:
        raise ReportRefused(f"the period ends on {query.until}, before it begins on {query.since}; swap them")
    if not 1 <= query.most <= MOST_ROWS_EVER:
        raise ReportRefused(f"{query.most} rows cannot be shown; ask for 1 to {MOST_ROWS_EVER}")


def _before(query: FunnelQuery) -> FunnelQuery | None:
    """The equal span before; only by the period's base, as younger cohorts had less time to become anything."""
    if query.base is not Base.PERIOD or query.since is None or query.until is None:
        return None
    days = query.until - query.since + timedelta(days=1)
    return replace(query, since=query.since - days, until=query.until - days, by=None)


async def _report(connection: AsyncConnection, query: FunnelQuery) -> Funnel:
    known = await source_ids(connection)
    if query.source is not None and query.source not in known:
        raise ReportRefused(f"there is no source `{query.source}`; known are: {', '.join(known) or 'none'}")
    chosen = list(known.values()) if query.source is None else [known[query.source]]
    has_spend = query.dimension is None and len(chosen) == len(known)
    facts = Facts(connection, query, chosen)
    stands_in = await facts.spend_currencies() if has_spend else ()
    if query.by is not None:
        weights = await _weights(connection, stands_in, query.currency)
        facts = replace(facts, top=await facts.largest(weights))
    gathered = await _gather(facts, stands_in, has_spend=has_spend)
    keys = [*facts.top, REST] if query.by is not None else []
    rows = tuple(gathered.row(key, query) for key in keys if key != REST or gathered.has(REST))
    total = _total(rows, gathered, query)
    report = Funnel(query, gathered.currency, rows, total, sentence_of(query))
    return replace(report, notes=notes_of(report, is_split_by_source=len(chosen) < len(known)))


async def _weights(connection: AsyncConnection, stands_in: Rows, currency: str | None) -> list[tuple[str, float]]:
    """What a unit of each currency is worth in the report's, only to rank by; 1 where no rate is known."""
    if len(stands_in) <= (currency is None):
        return []
    target = currency or stands_in[0]["currency"]
    days = [date.fromisoformat(row["newest"]) for row in stands_in]
    rates = await _rates(connection, target, [row["currency"] for row in stands_in], min(days), max(days))
    found = ((row["currency"], rates.find(day, row["currency"], target)) for row, day in zip(stands_in, days, strict=True))
    return [(name, rate / 1_000_000) for name, rate in found if rate is not None]


async def _rates(connection: AsyncConnection, currency: str, bases: Sequence[str], since: date, until: date) -> Rates:
    rows = await rates_into(connection, currency, bases, since, until)
    return Rates({(date.fromisoformat(row["day"]), row["base"], row["quote"]): row["rate_micros"] for row in rows})


@dataclass(slots=True)
class _Gathered:
    """Everything of a report by the key of its group."""

    currency: str | None = None
    counts: dict[str, dict[str, StepCount]] = field(default_factory=lambda: defaultdict(dict))
    spend: Mapping[str, Amount] = field(default_factory=dict)
    revenue: Mapping[str, Amount] = field(default_factory=dict)
    clicks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    impressions: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    unvalued: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    names: dict[str, str] = field(default_factory=dict)
    lags: dict[str, Fraction] = field(default_factory=dict)
    total_lag: Fraction | None = None
    has_spend: bool = True

    def has(self, key: str) -> bool:
        """True where anything is known of this group."""
        return key in self.counts or key in self.spend or key in self.revenue

    def row(self, key: str, query: FunnelQuery) -> FunnelRow:
        """One group as a row."""
        is_rest = key == REST
        platform, campaign_id, value = (None, None, None) if is_rest else _parts(key, query.by)
        has_spend = self.has_spend and not (query.by or "").startswith(DIMENSION)
        row = FunnelRow(
            platform=platform,
            campaign_id=campaign_id,
            name=None if is_rest else self.names.get(key),
            value=value,
            is_rest=is_rest,
            counts=self.counts.get(key, {}),
            spend=self.spend.get(key, Amount()) if has_spend else None,
            revenue=self.revenue.get(key, Amount()),
            clicks=self.clicks[key] if has_spend else 0,
            impressions=self.impressions[key] if has_spend else 0,
            unvalued=self.unvalued[key],
            days_to_customer=self.lags.get(key),
        )
        # What leads of unknown origin cost is unknown, not nothing.
        return replace(row, spend=None) if is_unattributed(row, query) else row


def _parts(key: str, by: str | None) -> tuple[str | None, str | None, str | None]:
    """Platform, campaign id and dimension value of a group's key."""
    if by == CAMPAIGN:
        platform, _, campaign_id = key.partition(PARTS)
        return platform or None, campaign_id or None, None
    return (key or None, None, None) if by == PLATFORM else (None, None, key or None)


async def _gather(facts: Facts, stands_in: Rows, *, has_spend: bool) -> _Gathered:
    found = _Gathered(has_spend=has_spend)
    for row in await facts.counts():
        found.counts[row["shown"]][row["milestone"]] = StepCount(*(int(row[name]) for name in StepCount.__slots__))
    for row in await facts.lags(is_total=False) if facts.query.by is not None else ():
        found.lags[row["shown"]] = _days(row["low"], row["high"])
    found.total_lag = next((_days(row["low"], row["high"]) for row in await facts.lags(is_total=True)), None)
    won = await facts.revenue(None)
    for row in won:
        found.unvalued[row["shown"]] += int(row["unvalued"])
    won = [row for row in won if row["currency"] is not None and row["micros"] is not None]
    currencies = [row["currency"] for row in stands_in] + sorted({row["currency"] for row in won})
    found.currency = facts.query.currency or next(iter(currencies), None)
    if found.currency is None:
        return found
    if set(currencies) - {found.currency}:
        won = [row for row in await facts.revenue(found.currency) if row["micros"] is not None]
    # A dimension has no spend of its own: what was spent stands in the total only.
    spent = await facts.spent(found.currency) if has_spend else ()
    for row in spent:
        found.clicks[row["shown"]] += int(row["clicks"] or 0)
        found.impressions[row["shown"]] += int(row["impressions"] or 0)
        if row["name"]:
            found.names[row["shown"]] = max(found.names.get(row["shown"], ""), row["name"])
    amounts = [(row["shown"], row["currency"], _day(row["day"]), int(row["micros"])) for row in won]
    costs = [(row["shown"], row["currency"], _day(row["day"]), int(row["micros"])) for row in spent]
    rates = await _rates_for(facts.connection, found.currency, [*amounts, *costs])
    found.revenue, found.spend = (_sums(rows, found.currency, rates) for rows in (amounts, costs))
    return found


_Dated = tuple[str, str, date | None, int]


def _day(value: int | str | None) -> date | None:
    """A day as SQL gives it: an ISO day, or days since 1970."""
    if value is None:
        return None
    return date.fromisoformat(value) if isinstance(value, str) else day_of(int(value))


def _days(low: int, high: int) -> Fraction:
    return middle(int(low), int(high)) / DAY_MS


async def _rates_for(connection: AsyncConnection, currency: str, rows: Iterable[_Dated]) -> Rates:
    foreign = [(base, day) for _, base, day, _ in rows if base != currency and day is not None]
    if not foreign:
        return Rates()
    days = [day for _, day in foreign]
    return await _rates(connection, currency, sorted({base for base, _ in foreign}), min(days), max(days))


def _sums(rows: Iterable[_Dated], currency: str, rates: Rates) -> dict[str, Amount]:
    """By group: what stands in the report's currency or has a rate of its day, and what has none."""
    own: dict[str, list[tuple[int, int]]] = defaultdict(list)
    foreign: dict[str, Amount] = defaultdict(Amount)
    for key, base, day, micros in rows:
        rate = 1_000_000 if base == currency else rates.find(day, base, currency) if day is not None else None
        if rate is not None:
            own[key].append((micros, rate))
        else:
            foreign[key] += Amount(0, (Money(micros, base),))
    return {key: Amount(converted(own[key])) + foreign[key] for key in {*own, *foreign}}


def _total(rows: Sequence[FunnelRow], gathered: _Gathered, query: FunnelQuery) -> FunnelRow:
    """Sums of all groups; each person is in exactly one of them."""
    if query.by is None:
        return replace(gathered.row("", query), days_to_customer=gathered.total_lag)
    counts: dict[str, StepCount] = defaultdict(StepCount)
    for row in rows:
        for milestone, count in row.counts.items():
            counts[milestone] += count
    return FunnelRow(
        counts=dict(counts),
        spend=sum(gathered.spend.values(), Amount()) if gathered.has_spend else None,
        revenue=sum((row.revenue for row in rows), Amount()),
        clicks=sum(gathered.clicks.values()),
        impressions=sum(gathered.impressions.values()),
        unvalued=sum(row.unvalued for row in rows),
        days_to_customer=gathered.total_lag,
    )
