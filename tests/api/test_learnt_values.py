"""Learnt values as an operator meets them: over REST and in a terminal."""

import asyncio
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.mapping import fits
from app.mapping.fit_repository import newest_fit
from tests.api.rig import Rig
from tests.api.test_mapping_commands import in_house
from tests.api.test_mapping_doors import ROOT, edited, saved
from tests.api.test_preview_doors import activate, preview
from tests.commands import Run, in_environ, teller

FALLBACK = {"model": "fixed", "amount": 20, "currency": "USD"}
PREDICTED = {"model": "predicted", "field": "deal.amount", "by": ["country"], "fallback": FALLBACK}
AVERAGE = {"model": "average", "fallback": FALLBACK}


async def learning(rig: Rig) -> dict[str, Any]:
    """The mapping of the house, with values that are learnt."""
    document = await edited(rig)
    for one in document["milestones"]:
        one["value"] = {"opportunity": PREDICTED, "qualified_lead": AVERAGE}.get(one["name"], one.get("value"))
    return document


async def sell(rig: Rig, *, deals: int, won: int) -> None:
    """Deals of the last days, the first of them won."""
    now, portal = rig.stage.clock.now, rig.stage.portal
    for number in range(deals):
        at = now - timedelta(days=5, minutes=number)
        country = "US" if number % 2 else "[red]FR"
        told = {
            "email": f"p{number}@example.com",
            "lifecyclestage": "salesqualifiedlead",
            "ads_consent": "yes",
            "country": country,
        }
        contact = portal.create("contacts", told, at)
        deal = portal.create(
            "deals", {"dealname": "d", "pipeline": "default", "dealstage": "qualifiedtobuy", "amount": "100"}, at
        )
        portal.associate(deal, contact, at=at)
        portal.update("deals", deal, {"dealstage": "closedwon" if number < won else "closedlost"}, at + timedelta(days=2))
    await rig.services.tick()


async def test_the_door_tells_the_newest_figures_and_why_a_fallback_stands_in(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sees a value in their ad account must find out from how many leads it comes."""
    monkeypatch.setattr(fits, "LEAST_LEADS", 10)
    await activate(rig, await saved(rig, await learning(rig)))
    await sell(rig, deals=12, won=3)
    before = (await rig.client.get(f"{ROOT}/values")).json()
    await rig.services.value_fits().fit()

    few = (await rig.client.get(f"{ROOT}/values")).json()
    monkeypatch.setattr(fits, "LEAST_WON", 3)
    found = (await rig.client.get(f"{ROOT}/values")).json()

    assert before["fit"] is None
    assert [(one["why_fallback"], one["whole"]) for one in before["milestones"]] == [("no fit yet", None)] * 2
    assert few["milestones"][0]["why_fallback"] == "too few cases: 12 leads, 3 won, of at least 10 and 10 (fit 1)"
    assert found["fit"]["version"] == 1
    (opportunity,) = [one for one in found["milestones"] if one["milestone"] == "opportunity"]
    whole = {"leads": 12, "won": 3, "lost": 9, "chance": "0.250000", "average_micros": 25_000_000, "won_micros": 100_000_000}
    assert (opportunity["why_fallback"], opportunity["whole"], opportunity["currency"]) == (None, whole, "USD")
    assert {one["of"]["country"]: (one["leads"], one["won"]) for one in opportunity["segments"]} == {
        "US": (6, 1),
        "[red]FR": (6, 2),
    }


async def test_the_trace_tells_how_a_learnt_value_came_about(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Model, segment, leads counted, chance, fit and its day: all that is asked when a value looks odd."""
    monkeypatch.setattr(fits, "LEAST_LEADS", 10)
    monkeypatch.setattr(fits, "LEAST_WON", 3)
    await activate(rig, await saved(rig, await learning(rig)))
    await sell(rig, deals=12, won=3)
    await rig.services.value_fits().fit()
    now, portal = rig.stage.clock.now, rig.stage.portal
    contact = portal.create("contacts", {"email": "new@example.com", "lifecyclestage": "lead", "country": "US"}, now)
    told = {"dealname": "d", "pipeline": "default", "dealstage": "qualifiedtobuy", "amount": "1000"}
    deal = portal.create("deals", told, now)
    portal.associate(deal, contact, at=now)
    rig.stage.clock.now += timedelta(hours=1)
    await rig.services.tick()

    found = (await rig.client.get(f"/v1/leads/deal:{deal}/trace", params={"source": "hubspot"})).json()

    (one,) = (one for one in found["conversions"] if one["milestone"] == "opportunity")
    said = "predicted: deal.amount in USD times 24.1%, the chance to win of 6 leads of country=US (fit 1 of 2026-11-24)"
    assert one["value_why"] == said


async def test_a_preview_values_by_what_would_be_learnt(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shown by fallbacks alone, nobody could see what the models would do before they do it."""
    monkeypatch.setattr(fits, "LEAST_LEADS", 10)
    monkeypatch.setattr(fits, "LEAST_WON", 3)
    await sell(rig, deals=12, won=3)
    version = await saved(rig, await learning(rig))

    found = await preview(rig, version, restates=True)

    (qualified,) = (one for one in found["milestones"] if one["name"] == "qualified_lead")
    assert qualified["worth_after"] == [{"amount_micros": 12 * 25_000_000, "currency": "USD"}]
    assert any("12 leads (a fit for this look of 2026-11-24)" in one["value_why"] for one in found["samples"])
    async with rig.services.database.read() as connection:
        assert await newest_fit(connection, 1) is None


async def test_a_source_that_learns_nothing_says_so_and_an_unknown_one_is_unknown(rig: Rig) -> None:
    """An empty answer is no error; a mistyped name is."""
    none = await rig.client.get(f"{ROOT}/values")
    unknown = await rig.client.get("/v1/mappings/hubspt/values")
    query = await rig.client.get(f"{ROOT}/values", params={"segments": 3})

    assert none.json() == {"source": "hubspot", "fit": None, "milestones": []}
    assert (unknown.status_code, query.status_code) == (404, 422)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: io.StringIO, capsys: pytest.CaptureFixture[str]) -> Run:
    assert not logs.getvalue()
    in_environ(monkeypatch, tmp_path)
    return teller(monkeypatch, capsys)


def test_an_operator_fits_and_reads_the_table(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table says what is known, what values new conversions, and what is missing."""
    monkeypatch.setattr(fits, "LEAST_LEADS", 10)
    monkeypatch.setattr(fits, "LEAST_WON", 3)

    async def fill(rig: Rig) -> None:
        await activate(rig, await saved(rig, await learning(rig)))
        await sell(rig, deals=12, won=3)

    in_house(tmp_path, fill)
    _, before, _ = run("values", "show")
    code, out, _ = run("values", "fit", "hubspot")
    _, shown, _ = run("values", "show", "--segments", "1")

    assert "hubspot: no fit yet" in before
    assert "opportunity: no fit yet; valued by the fallback" in before
    assert code == 0
    assert out.startswith("hubspot: fit 1 of ")
    (row,) = [line.split() for line in out.splitlines() if line.startswith("opportunity")]
    assert row == ["opportunity", "all", "12", "3", "9", "25.0%", "25.00", "USD", "100.00", "USD", "predicted"]
    (segment,) = [line.split() for line in out.splitlines() if "[red]FR" in line]
    assert segment[:4] == ["[red]FR", "6", "2", "4"]
    assert "opportunity: 1 smaller segments are not shown" in shown


def test_what_learns_nothing_is_told_in_a_sentence(run: Run, tmp_path: Path) -> None:
    """An empty table would look like a fault."""

    async def look(_rig: Rig) -> None:
        await asyncio.sleep(0)

    in_house(tmp_path, look)

    assert run("values", "show")[:2] == (0, "no mapping learns a value: none has the model `average` or `predicted`\n")
    assert run("values", "fit", "hubspot")[0] == 2
    assert "there is no source `hubspt`" in run("values", "show", "hubspt")[2]
