"""Currency rates over REST and from a file: all or none, listed in pages, and what waited for one goes."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.reports.csv_table import FileInvalid
from app.reports.rates_file import read_rates
from tests.api.rig import NOW, Rig
from tests.api.test_command_line import SECRET
from tests.api.test_mapping_doors import edited, saved
from tests.api.test_preview_doors import activate, counted, person
from tests.commands import run_command

RATE = {"day": "2026-11-22", "base": "USD", "quote": "EUR", "rate": "0.925"}


async def put(rig: Rig, *rates: Mapping[str, object]) -> dict[str, Any]:
    answer = await rig.client.put("/v1/rates", json={"rates": list(rates)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listed(rig: Rig, **params: Any) -> tuple[list[dict[str, str]], int]:
    """All pages of a list, and how many there were."""
    rows: list[dict[str, str]] = []
    pages = 0
    while True:
        answer = await rig.client.get("/v1/rates", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        rows, pages = [*rows, *page["items"]], pages + 1
        if page["next"] is None:
            return rows, pages
        params["cursor"] = page["next"]


async def test_a_value_that_waits_for_a_rate_goes_when_it_comes(rig: Rig) -> None:
    """The conversion was never lost: it is told as soon as somebody says what a dollar costs, with the rate of its day."""
    document = await edited(rig)
    (qualified,) = (one for one in document["milestones"] if one["name"] == "qualified_lead")
    qualified["value"] = {"model": "field", "field": "contact.hubspotscore", "currency": "EUR"}
    await activate(rig, await saved(rig, document))
    person(rig, email="q@example.com", lifecyclestage="salesqualifiedlead", hubspotscore="40", hs_google_click_id="Cj0-q")
    await rig.services.tick()
    waiting = (await rig.client.get("/v1/deliveries", params={"milestone": "qualified_lead"})).json()["items"]

    saved_rates = await put(rig, RATE)
    rig.stage.clock.now += timedelta(hours=2)
    await rig.services.tick()
    await rig.services.tick()

    assert [one["reason"] for one in waiting] == ["rate"]
    assert saved_rates == {"rates": 1, "changed": 1}
    assert counted(rig) == 1
    (sent,) = (await rig.client.get("/v1/deliveries", params={"milestone": "qualified_lead"})).json()["items"]
    assert (sent["value"]["amount"], sent["value"]["currency"]) == ("37.00", "EUR")


async def test_rates_are_stored_replaced_and_listed_in_pages(rig: Rig) -> None:
    """The same file each night changes nothing; a corrected rate replaces; each rate is on one page once, newest day first."""
    days = [(NOW - timedelta(days=n)).date().isoformat() for n in range(5)]
    rates = [{**RATE, "day": day, "base": base, "rate": "1.5"} for day in days for base in ("USD", "GBP", "CHF")]
    first = await put(rig, *rates)
    again = await put(rig, *rates)
    corrected = await put(rig, {**rates[0], "rate": "1.25"}, rates[1])

    rows, pages = await listed(rig, limit=4)
    of_dollars, _ = await listed(rig, base="USD", quote="EUR", limit=2)

    assert (first["changed"], again["changed"], corrected["changed"]) == (15, 0, 1)
    assert [(one["day"], one["base"]) for one in rows] == [(day, base) for day in days for base in ("CHF", "GBP", "USD")]
    assert pages == 4
    assert [one["rate"] for one in of_dollars] == ["1.25", "1.5", "1.5", "1.5", "1.5"]


@pytest.mark.parametrize(
    ("changed", "place", "said"),
    [
        ({"base": "EURO"}, "body.rates.1.base", ""),
        ({"base": "EUX"}, "body.rates.1", "no ISO 4217 currency"),
        ({"quote": "USD"}, "body.rates.1.quote", "the same currency"),
        ({"rate": "1,0845"}, "body.rates.1", "like 1.0845"),
        ({"rate": "0"}, "body.rates.1", "the other way round"),
        ({"rate": 1.08}, "body.rates.1.rate", "string"),
        ({"day": "24.11.2026"}, "body.rates.1.day", ""),
        ({"rate": "0.93"}, "body.rates.1", "stands above with another rate"),
        ({"from": "USD"}, "body.rates.1.from", ""),
    ],
)
async def test_one_mistake_stores_nothing(house: Rig, changed: dict[str, object], place: str, said: str) -> None:
    """Half a day's rates would value half the deals, and nobody would see which."""
    answer = await house.client.put("/v1/rates", json={"rates": [RATE, {**RATE, **changed}]})

    assert answer.status_code == 422
    (mistake,) = answer.json()["errors"]
    assert mistake["path"] == place
    assert said in mistake["message"]
    assert (await listed(house))[0] == []


async def test_a_strange_cursor_is_refused(house: Rig) -> None:
    """A mistyped cursor is a mistake of the request and no fault of ours."""
    for cursor in ("x", "WzEsMl0", "WzczOTk5OTk5LDFd"):
        answer = await house.client.get("/v1/rates", params={"cursor": cursor})
        assert answer.status_code == 422, cursor


def test_a_file_is_imported_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a bank's table becomes; a wrong one imports nothing and says each line."""
    monkeypatch.setenv("LEADLOOP_DATABASE_URL", f"sqlite:///{tmp_path / 'one.db'}")
    monkeypatch.setenv("LEADLOOP_SECRET_KEY", SECRET)
    good, bad = tmp_path / "rates.csv", tmp_path / "bad.csv"
    good.write_text("day,base,quote,rate\n2026-11-20,EUR,USD,1.08\n2026-11-23,EUR,USD,1.0845\n")
    bad.write_text("day,base,quote,rate\n2026-11-20,EUR,UDS,1.08\n2026-11-31,EUR,USD,1.08\n")

    assert run_command(monkeypatch, "rates", "import", str(good)) == 0
    assert "2 rates, 2026-11-20 to 2026-11-23 (EUR/USD): 2 new or changed" in capsys.readouterr().out
    assert run_command(monkeypatch, "rates", "import", str(bad)) == 2
    told = capsys.readouterr().err
    assert "line 2, column quote: `UDS` is no ISO 4217 currency; did you mean USD?" in told
    assert "line 3, column day: `2026-11-31` is no day of the calendar" in told
    assert run_command(monkeypatch, "rates", "import", str(tmp_path / "absent.csv")) == 2
    assert "cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("", "there is no row below the header"),
        ("2026-11-20,EUR,EUR,1\n", "the same currency as `base`"),
        ("2026-11-20,EUR,USD,1.1\n2026-11-20,EUR,USD,1.2\n", "stands above with another rate"),
        ("2026-11-20,EUR,USD,10845000000\n", "look at the decimal point"),
        ("2026-11-20,VND,USD,0.000038\n", "give the rate the other way round"),
        ("2026-11-20,EUR,USD\n", "has 3 cells"),
    ],
)
def test_a_wrong_file_says_how_to_mend_it(tmp_path: Path, rows: str, told: str) -> None:
    """Each mistake has its line, so that it is found in a table of thousands."""
    file = tmp_path / "rates.csv"
    file.write_text(f"day,base,quote,rate\n{rows}")

    with pytest.raises(FileInvalid, match=told):
        read_rates(file)
