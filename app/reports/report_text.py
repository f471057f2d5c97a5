"""Reports as tables for a terminal (pure): numbers to the right, totals below, what is counted said in a sentence."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from app.outbox.states import REASON_SENTENCES, DeliveryState, Reason
from app.reports.books_model import OWES_NOTHING, STATES, WAITING, BookRow, Books
from app.reports.formulas import ratio, rounded
from app.reports.funnel_model import Amount, Funnel, FunnelRow, Metrics, metrics_of
from app.reports.funnel_notes import is_unattributed, shown_money
from connectors.contract.conversions import MICROS, Money

NOTHING = "-"
MOST_IMBALANCES = 20
_SHOWN_STATES = tuple(state for state in STATES if state not in WAITING)
_ALWAYS_SHOWN = (DeliveryState.ACCEPTED, DeliveryState.CONFIRMED, DeliveryState.SKIPPED, DeliveryState.REJECTED)


def tables_of(report: Funnel | Books, *, by_day: bool = False) -> tuple[RenderableType, ...]:
    """A report as things that rich prints. `by_day` shows each day of the books instead of their sum."""
    if isinstance(report, Books):
        return tuple(_books(report, by_day=by_day))
    parts = [_groups(report)] if report.query.by is not None else [_steps(report), _worth(report)]
    return (*parts, *_sentences([report.sentence, *report.notes]))


# The funnel -----------------------------------------------------------------------------------------------------------


def _steps(report: Funnel) -> Table:
    steps, total = report.query.steps, report.total
    metrics = metrics_of(total, steps)
    table = _table("The funnel", ["step", "milestone"], ["people", "of leads", "of the step before", "cost each"])
    extra = {"implied": "implied", "ended": "no longer", "duplicates": "duplicates"}
    shown = {name: label for name, label in extra.items() if any(getattr(one, name) for one in total.counts.values())}
    for label in shown.values():
        table.add_column(label, justify="right", style="dim")
    leads = total.count(steps.lead).people
    rows: Sequence[tuple[str, str, Fraction | None, Fraction | None]] = (
        ("leads", steps.lead, None, metrics.cost_per_lead),
        ("qualified leads", steps.qualified, metrics.qualified_rate, metrics.cost_per_qualified_lead),
        ("opportunities", steps.opportunity, metrics.opportunity_rate, metrics.cost_per_opportunity),
        ("customers", steps.customer, metrics.customer_rate, metrics.cost_per_customer),
        ("disqualified", steps.disqualified, None, None),
    )
    for label, milestone, of_before, cost in rows:
        count = total.count(milestone)
        of_leads = None if milestone == steps.lead else ratio(count.people, leads)
        cells = (f"{count.people:,}", _share(of_leads), _share(of_before), _each(cost, report))
        more = [f"{getattr(count, name):,}" for name in shown]
        table.add_row(label, _plain(milestone), *cells, *more, style="dim" if milestone == steps.disqualified else "")
    return table


def _worth(report: Funnel) -> Table:
    total = report.total
    metrics = metrics_of(total, report.query.steps)
    table = _table("What it cost and what it brought", ["", ""], [])
    table.show_header = False
    table.columns[1].justify = "right"
    table.add_row("spend", _amount(total.spend, report))
    table.add_row("revenue won", _amount(total.revenue, report))
    table.add_row("value of a lead", _each(metrics.lead_value, report))
    table.add_row("ROAS", _times(metrics.roas))
    table.add_row("days from lead to customer (median)", _days(total))
    return table


def _groups(report: Funnel) -> Table:
    query = report.query
    head = {"campaign": "campaign", "platform": "platform"}.get(query.by or "", (query.by or "").removeprefix("dimension:"))
    money = f" {report.currency}" if report.currency else ""
    table = _table(
        f"The funnel by {head}",
        [head],
        [f"spend{money}", "leads", "qualified", "opportunities", "customers", f"revenue{money}", "lead value", "ROAS", "days"],
    )
    table.columns[0].no_wrap = False
    for row in report.rows:
        dim = "dim" if row.is_rest or is_unattributed(row, query) else ""
        table.add_row(_label(row, report), *_cells(row, report), style=dim)
    table.add_section()
    table.add_row("total", *_cells(report.total, report), style="bold")
    table.caption = "Below each count: what one of them cost."
    table.caption_justify = "left"
    return table


def _cells(row: FunnelRow, report: Funnel) -> Iterator[str]:
    steps, metrics = report.query.steps, metrics_of(row, report.query.steps)
    yield _amount(row.spend, report, with_currency=False)
    for milestone, cost in _costs(metrics, report):
        yield f"{row.count(milestone).people:,}\n{_each(cost, report, with_currency=False)}"
    yield _amount(row.revenue, report, with_currency=False) if row.count(steps.customer).people else NOTHING
    yield _each(metrics.lead_value, report, with_currency=False)
    yield _times(metrics.roas)
    yield _days(row)


def _costs(metrics: Metrics, report: Funnel) -> tuple[tuple[str, Fraction | None], ...]:
    steps = report.query.steps
    return (
        (steps.lead, metrics.cost_per_lead),
        (steps.qualified, metrics.cost_per_qualified_lead),
        (steps.opportunity, metrics.cost_per_opportunity),
        (steps.customer, metrics.cost_per_customer),
    )


def _label(row: FunnelRow, report: Funnel) -> Text:
    if row.is_rest:
        return Text("all others")
    if is_unattributed(row, report.query):
        return Text("not attributed" if row.platform is None else f"{_plain(row.platform)}, no campaign")
    if report.query.by == "campaign":
        below = f"\n{_plain(row.platform or '')} {_plain(row.campaign_id or '')}"
        return Text.assemble(_plain(row.name or row.campaign_id or ""), (below, "dim"))
    return Text(_plain(row.platform or row.value or "none"))


# The books ------------------------------------------------------------------------------------------------------------


def _books(report: Books, *, by_day: bool) -> Iterator[RenderableType]:
    sums = report.by_milestone()
    if not sums:
        yield Text("No conversion is known of these days; ask for others.")
        return
    rows = report.rows if by_day else sums
    states = [state for state in _SHOWN_STATES if state in _ALWAYS_SHOWN or any(row.in_state(state) for row in sums)]
    days = ["day"] if by_day else []
    table = _table("The books", ["destination", "milestone", *days], ["found", *states, "waiting", "open"])
    for row in rows:
        day = [str(row.day)] if by_day else []
        table.add_row(row.destination, _plain(row.milestone), *day, *_counts(row, states))
    table.add_section()
    table.add_row("all", "", *([""] * len(days)), *_added(sums, states), style="bold")
    yield table
    yield from _reasons(sums)
    yield from _corrections(sums)
    yield from _differences(report)
    yield from _overstated(report)
    yield _verdict(report, sums)


def _counts(row: BookRow, states: Sequence[str]) -> list[Text | str]:
    missing = row.found - row.accounted
    is_off = not row.is_balanced
    open_cell = Text(f"{missing:,}" if missing or not is_off else "!", style="bold red" if is_off else "green")
    return [f"{row.found:,}", *(_count(row.in_state(state)) for state in states), _count(row.waiting), open_cell]


def _added(rows: Sequence[BookRow], states: Sequence[str]) -> list[str]:
    return [
        f"{sum(row.found for row in rows):,}",
        *(_count(sum(row.in_state(state) for row in rows)) for state in states),
        _count(sum(row.waiting for row in rows)),
        f"{sum(row.found - row.accounted for row in rows):,}",
    ]


def _reasons(rows: Sequence[BookRow]) -> Iterator[Table]:
    sums: dict[tuple[str, str, str], int] = {}
    for row in rows:
        for (state, reason), count in row.uploads.items():
            sums[row.destination, state, reason] = sums.get((row.destination, state, reason), 0) + count
    if not sums:
        return
    table = _table("Why", ["destination", "state", "reason"], ["conversions"])
    table.add_column("what it means", style="dim")
    order = {state: place for place, state in enumerate(STATES)}
    for (destination, state, reason), count in sorted(
        sums.items(), key=lambda one: (one[0][0], order.get(one[0][1], 99), -one[1])
    ):
        table.add_row(destination, _plain(state), _plain(reason), f"{count:,}", _meaning(reason))
    yield table


def _meaning(reason: str) -> str:
    if reason in OWES_NOTHING:
        return OWES_NOTHING[reason]
    return REASON_SENTENCES[Reason(reason)] if reason in set(Reason) else "No such reason is known; this is a fault."


def _corrections(rows: Sequence[BookRow]) -> Iterator[Table]:
    if not any(row.corrections for row in rows):
        return
    table = _table("Corrections", ["destination", "milestone", "kind", "state", "reason"], ["deliveries"])
    for row in rows:
        for kind, standing in row.corrections.items():
            for (state, reason), count in sorted(standing.items()):
                table.add_row(row.destination, _plain(row.milestone), kind, _plain(state), _plain(reason), f"{count:,}")
    yield table


def _differences(report: Books) -> Iterator[Table]:
    if not report.differences:
        return
    title = "Counted otherwise by the platform, as it could not be told of a correction"
    numbers = ["conversions", "counted there", "in the CRM", "value there", "in the CRM", "too much"]
    table = _table(title, ["destination", "milestone"], numbers)
    for one in report.differences:
        table.add_row(
            one.destination,
            _plain(one.milestone),
            f"{one.conversions:,}",
            f"{one.told:,}",
            f"{one.true:,}",
            _value(one.told_micros, one.currency),
            _value(one.true_micros, one.true_currency),
            _value(one.overstated_micros, one.currency),
        )
    yield table


def _overstated(report: Books) -> Iterator[Table]:
    if not report.overstated:
        return
    title = "Overstated: told beyond what the leads are worth, as the platform could not be told of a correction"
    table = _table(title, ["destination"], ["leads", "too much", "leads in several currencies"])
    for one in report.overstated:
        table.add_row(one.destination, _count(one.leads), _value(one.micros, one.currency), _count(one.mixed))
    yield table


def _verdict(report: Books, sums: Sequence[BookRow]) -> RenderableType:
    found = sum(row.found for row in sums)
    if report.is_balanced:
        return Text(f"The books balance: each of {found:,} is accounted for, once, with its reason.", style="green")
    lines = [Text(f"The books do NOT balance: {len(report.imbalances):,} places.", style="bold red")]
    lines += [Text(f"  {_plain(str(one))}", style="red") for one in report.imbalances[:MOST_IMBALANCES]]
    if len(report.imbalances) > MOST_IMBALANCES:
        lines.append(Text(f"  and {len(report.imbalances) - MOST_IMBALANCES:,} more", style="red"))
    return Group(*lines)


# Cells ----------------------------------------------------------------------------------------------------------------


def _table(title: str, words: Iterable[str], numbers: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", pad_edge=False, box=SIMPLE_HEAD)
    for name in words:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _sentences(lines: Sequence[str]) -> Iterator[RenderableType]:
    for place, line in enumerate(lines):
        yield Padding(Text(_plain(line), style="dim" if place == 0 else "yellow"), (0, 0, 0, 0))


def _count(value: int) -> str:
    return f"{value:,}" if value else NOTHING


def _share(value: Fraction | None) -> str:
    return NOTHING if value is None else f"{rounded(value * 100, 1)} %"


def _times(value: Fraction | None) -> str:
    return NOTHING if value is None else f"{rounded(value, 2):,}"


def _days(row: FunnelRow) -> str:
    return NOTHING if row.days_to_customer is None else f"{rounded(row.days_to_customer, 1):,}"


def _each(micros: Fraction | None, report: Funnel, *, with_currency: bool = True) -> str:
    """A ratio of money; exact until here, rounded to the currency's minor unit."""
    if micros is None or report.currency is None:
        return NOTHING
    digits = -int(Money(MICROS, report.currency).quantised().as_tuple().exponent)
    text = f"{rounded(micros / MICROS, digits):,}"
    return f"{text} {report.currency}" if with_currency else text


def _amount(amount: Amount | None, report: Funnel, *, with_currency: bool = True) -> str:
    if amount is None or report.currency is None:
        return NOTHING
    own = Money(amount.micros, report.currency)
    shown = [shown_money(own) if with_currency else f"{own.quantised():,}"] if amount.micros or amount.is_whole else []
    return "\n".join([*shown, *(shown_money(money) for money in amount.foreign)])


def _value(micros: int | None, currency: str | None) -> str:
    return NOTHING if micros is None or currency is None else shown_money(Money(micros, currency))


def _plain(value: str) -> str:
    """Text from outside, without what could steer a terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in value)
