"""Reports as JSON can hold them (pure): amounts as decimal text in major units, ISO days, None where there is no number."""

from collections.abc import Mapping
from fractions import Fraction

from app.reports.books_model import BookRow, Books, Standing
from app.reports.formulas import rounded
from app.reports.funnel_model import Amount, Funnel, FunnelRow, Metrics, metrics_of
from connectors.contract.conversions import MICROS, Money

RATIO_DIGITS = 6
_MONEY = {"cost_per_lead", "cost_per_qualified_lead", "cost_per_opportunity", "cost_per_customer", "lead_value"}


def json_of(report: Funnel | Books) -> dict[str, object]:
    """A report as a JSON document."""
    return _books(report) if isinstance(report, Books) else _funnel(report)


def _funnel(report: Funnel) -> dict[str, object]:
    query = report.query
    return {
        "base": query.base.value,
        "since": None if query.since is None else query.since.isoformat(),
        "until": None if query.until is None else query.until.isoformat(),
        "by": query.by,
        "currency": report.currency,
        "steps": {name: getattr(query.steps, name) for name in query.steps.__slots__},
        "rows": [_row(row, report) for row in report.rows],
        "total": _row(report.total, report),
        "about": report.sentence,
        "notes": list(report.notes),
    }


def _row(row: FunnelRow, report: Funnel) -> dict[str, object]:
    metrics = metrics_of(row, report.query.steps)
    return {
        "platform": row.platform,
        "campaign_id": row.campaign_id,
        "campaign_name": row.name,
        "value": row.value,
        "is_rest": row.is_rest,
        "milestones": {
            name: {item: getattr(count, item) for item in count.__slots__} for name, count in sorted(row.counts.items())
        },
        "spend": _amount(row.spend, report.currency),
        "revenue": _amount(row.revenue, report.currency),
        "clicks": row.clicks,
        "impressions": row.impressions,
        "won_without_amount": row.unvalued,
        "median_days_to_customer": _ratio(row.days_to_customer),
        "metrics": {name: _metric(name, getattr(metrics, name)) for name in Metrics.__slots__},
    }


def _metric(name: str, value: Fraction | None) -> str | None:
    return _ratio(value / MICROS if value is not None and name in _MONEY else value)


def _ratio(value: Fraction | None) -> str | None:
    return None if value is None else str(rounded(value, RATIO_DIGITS))


def _amount(amount: Amount | None, currency: str | None) -> object:
    """In the report's currency; `apart` is what has no rate into it."""
    if amount is None or currency is None:
        return None
    apart = [{"amount": _money(money), "currency": money.currency} for money in amount.foreign]
    return {"amount": _money(Money(amount.micros, currency)), "currency": currency, "apart": apart}


def _value(micros: int, currency: str | None) -> object:
    return None if currency is None else {"amount": _money(Money(micros, currency)), "currency": currency}


def _money(money: Money) -> str:
    return str(money.quantised())


def _books(report: Books) -> dict[str, object]:
    return {
        "since": None if report.query.since is None else report.query.since.isoformat(),
        "until": None if report.query.until is None else report.query.until.isoformat(),
        "is_balanced": report.is_balanced,
        "imbalances": [
            {
                "day": one.day.isoformat(),
                "milestone": one.milestone,
                "destination": one.destination,
                "count": one.count,
                "message": one.message,
            }
            for one in report.imbalances
        ],
        "differences": [
            {
                "milestone": one.milestone,
                "destination": one.destination,
                "conversions": one.conversions,
                "platform_counts": one.told,
                "crm_has": one.true,
                "platform_value": _value(one.told_micros, one.currency),
                "crm_value": _value(one.true_micros, one.true_currency),
            }
            for one in report.differences
        ],
        "overstated": [
            {
                "destination": one.destination,
                "leads": one.leads,
                "value": _value(one.micros, one.currency),
                "leads_in_several_currencies": one.mixed,
            }
            for one in report.overstated
        ],
        "totals": [_book_row(row) for row in report.by_milestone()],
        "rows": [_book_row(row) for row in report.rows],
    }


def _book_row(row: BookRow) -> dict[str, object]:
    return {
        "milestone": row.milestone,
        "destination": row.destination,
        "day": None if row.day is None else row.day.isoformat(),
        "found": row.found,
        "is_balanced": row.is_balanced,
        "uploads": _standing(row.uploads),
        "corrections": {kind: _standing(standing) for kind, standing in row.corrections.items()},
    }


def _standing(standing: Standing) -> Mapping[str, Mapping[str, int]]:
    """By state, then by reason."""
    found: dict[str, dict[str, int]] = {}
    for (state, reason), count in sorted(standing.items()):
        found.setdefault(state, {})[reason] = count
    return found
