"""What a reader must know beside the numbers of a funnel (pure): the base, what is left out, what cannot be divided."""

from collections.abc import Iterator

from app.reports.funnel_model import Amount, Base, Funnel, FunnelQuery, FunnelRow
from connectors.contract.conversions import Money


def sentence_of(query: FunnelQuery) -> str:
    """Whom the report counts, in one sentence."""
    span = _span(query)
    if query.base is Base.COHORT:
        when = f"created in the CRM {span}" if span else "known"
        return f"Everyone {when}, counted once, with all that became of them until now; spend of the same days (UTC)."
    when = span or "at any time"
    return (
        f"Whoever reached a milestone {when}, counted once for each, whenever they were created; spend of the same days (UTC). "
        "Rates compare different people."
    )


def _span(query: FunnelQuery) -> str:
    match (query.since, query.until):
        case (None, None):
            return ""
        case (since, None):
            return f"since {since}"
        case (None, until):
            return f"until {until}"
        case (since, until):
            return f"from {since} to {until}"


def notes_of(report: Funnel, *, is_split_by_source: bool) -> tuple[str, ...]:
    """What is left out of the numbers and why."""
    return tuple(_notes(report, is_split_by_source=is_split_by_source))


def _notes(report: Funnel, *, is_split_by_source: bool) -> Iterator[str]:
    query, total = report.query, report.total
    if not total.counts and not report.rows and (total.spend is None or total.spend == Amount()):
        yield "Nothing is known of these days; ask for others."
    if query.dimension is not None:
        yield f"Spend is not known by {query.dimension[0]}: no costs are shown."
    elif is_split_by_source:
        yield "Spend is not known by source: no costs are shown."
    elif query.by is not None and query.by.startswith("dimension:"):
        yield f"Spend is not known by {query.by.removeprefix('dimension:')}: costs stand in the total only."
    for what, amount in (("spend", total.spend), ("revenue", total.revenue)):
        if amount is not None and not amount.is_whole:
            yield (
                f"{_foreign(amount)} of {what} stand apart: no rate into {report.currency} within 7 days before; import rates. "
                f"What would need them is left out."
            )
    if total.unvalued:
        yield f"{total.unvalued:,} won without an amount in the CRM: revenue is at least what is shown."
    leads = total.count(query.steps.lead).people
    strangers = sum(row.count(query.steps.lead).people for row in report.rows if is_unattributed(row, query))
    if strangers:
        yield f"{strangers:,} of {leads:,} leads are not attributed to a {query.by}; the total's costs are spread over them too."


def is_unattributed(row: FunnelRow, query: FunnelQuery) -> bool:
    """True for the row of leads of which nothing, or no campaign, is known."""
    if row.is_rest or query.by not in ("campaign", "platform"):
        return False
    return row.platform is None or (query.by == "campaign" and row.campaign_id is None)


def _foreign(amount: Amount) -> str:
    return " and ".join(shown_money(money) for money in amount.foreign)


def shown_money(money: Money) -> str:
    """An amount with thousands and its currency, `1,234.50 USD`."""
    return f"{money.quantised():,} {money.currency}"
