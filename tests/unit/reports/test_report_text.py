from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction

import orjson
from rich.console import Console

from app.reports.books_model import BookRow, Books, BooksQuery, Imbalance
from app.reports.funnel_model import Amount, Funnel, FunnelQuery, FunnelRow, StepCount
from app.reports.report_json import json_of
from app.reports.report_text import tables_of
from connectors.contract.conversions import Money

MICROS = 1_000_000
DAY = date(2026, 11, 22)
ROW = FunnelRow(
    platform="google",
    campaign_id="c1",
    name="Brand",
    counts={"lead": StepCount(4), "closed_revenue": StepCount(1)},
    spend=Amount(1_234_567_890),
    revenue=Amount(5000 * MICROS),
    days_to_customer=Fraction(21, 2),
)
FUNNEL = Funnel(FunnelQuery(by="campaign"), "USD", (ROW,), ROW, "Everyone known.")


def _screen(report: Funnel | Books, *, by_day: bool = False) -> str:
    console = Console(width=160, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as captured:
        for part in tables_of(report, by_day=by_day):
            console.print(part)
    return captured.get()


def test_numbers_have_thousands_and_the_currencys_digits() -> None:
    """1234567890 micros are 1,234.57 dollars and 1,235 yen."""
    assert "1,234.57" in _screen(FUNNEL)
    yen = _screen(replace(FUNNEL, currency="JPY"))
    assert "1,235" in yen
    assert "1,234" not in yen


def test_names_from_outside_steer_nothing() -> None:
    """A campaign may be called anything: no terminal sequence, no markup."""
    hostile = replace(ROW, name="\x1b[2J[red]Boo[/red]\x07", campaign_id="[/]")
    screen = _screen(replace(FUNNEL, rows=(hostile,)))

    assert "?[2J[red]Boo[/red]?" in screen
    assert "\x1b" not in screen
    assert "google [/]" in screen


def test_a_report_of_nothing_is_no_crash() -> None:
    """The first thing that a new user sees."""
    nothing = FunnelRow()
    for query in (FunnelQuery(), FunnelQuery(by="campaign"), FunnelQuery(by="dimension:country")):
        empty = Funnel(query, None, (), nothing, "Everyone known.")
        assert "Everyone known." in _screen(empty)
        assert orjson.loads(orjson.dumps(json_of(empty)))["total"]["metrics"]["cost_per_lead"] is None
    assert "No conversion is known" in _screen(Books(BooksQuery(), ()))


def test_what_has_no_rate_stands_apart_with_its_currency() -> None:
    """Two sums in one cell, each with its name; no ratio of them."""
    mixed = replace(ROW, spend=Amount(MICROS, (Money(3 * MICROS, "EUR"),)))
    report = replace(FUNNEL, query=FunnelQuery(), rows=(), total=mixed)
    screen = _screen(report)

    assert "1.00 USD" in screen
    assert "3.00 EUR" in screen
    total = orjson.loads(orjson.dumps(json_of(report)))["total"]
    assert total["spend"] == {"amount": "1.00", "currency": "USD", "apart": [{"amount": "3.00", "currency": "EUR"}]}
    assert total["metrics"]["roas"] is None


def _book(day: date, **more: object) -> BookRow:
    row = BookRow("won", "google", day, found=2, uploads={("accepted", "delivered"): 1, ("skipped", "implied"): 1})
    return replace(row, **more)  # type: ignore[arg-type]  # fields of the row


def test_the_books_say_why_in_words() -> None:
    """A reason code alone would send the reader to the manual."""
    corrections = {"restate": {("pending", "new"): 1}}
    books = Books(BooksQuery(), (_book(DAY, corrections=corrections), _book(DAY - timedelta(days=1))))
    screen = _screen(books)

    assert next(line.split() for line in screen.splitlines() if line.startswith(" google") and " won " in line) == [
        "google", "won", "4", "2", "-", "2", "-", "-", "0",
    ]  # fmt: skip
    assert "A later step implied it" in screen
    assert "Corrections" in screen
    assert "The books balance: each of 4 is accounted for, once, with its reason." in screen
    assert _screen(books, by_day=True).count("2026-11-2") == 2


def test_books_that_do_not_balance_name_the_places() -> None:
    """The first twenty; the sum of all."""
    wrong = tuple(Imbalance("won", "google", DAY + timedelta(days=n), 1, "lost") for n in range(25))
    books = Books(BooksQuery(), (_book(DAY, found=3, unexplained=1),), wrong)
    screen = _screen(books)

    assert "The books do NOT balance: 25 places." in screen
    assert screen.count("lost") == 20
    assert "and 5 more" in screen
    document = json_of(books)
    assert document["is_balanced"] is False
    assert len(list(document["imbalances"])) == 25  # type: ignore[call-overload]  # a list
