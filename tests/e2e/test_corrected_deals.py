"""Won deals that are edited, reopened, won again, lost, merged and deleted: what each platform's ledger counts in the end."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from app.reports.books import BooksQuery, books
from app.reports.trace import trace
from tests.e2e.correction_stage import DAY, HOUR, CorrectionStage

Counts = Mapping[str, tuple[int, int]]

# By story: what was won, and what is right in the end. Of the merged deals the survivor is the story `kept`.
WON = {"control": 100, "edited": 110, "reopened": 120, "again": 130, "lost": 140, "kept": 150, "gone": 160, "deleted": 170}
TRUE: Counts = {
    "control": (1, 100),
    "edited": (1, 111),
    "reopened": (0, 0),
    "again": (1, 131),
    "lost": (0, 0),
    "kept": (1, 150),
    "gone": (0, 0),
    "deleted": (0, 0),
}
# A platform that can correct nothing goes on counting what it was told; a deal that was won again is still the one it knows.
AS_TOLD: Counts = {story: (1, amount) for story, amount in WON.items()}
# Google without a grant for its Ads API restates and cannot retract: a deal that is won again is not sent beside itself.
RESTATED: Counts = {**AS_TOLD, "edited": (1, 111)}


async def told(
    stage: CorrectionStage, **google: str
) -> tuple[Mapping[str, Mapping[str, tuple[int, Decimal]]], dict[str, tuple[int, int]], dict[str, list[str]]]:
    """Play all stories: what ledgers count, by platform the books' difference (conversions, micros), the deals' traces."""
    services = await stage.open(**google)
    try:
        for story, amount in WON.items():
            stage.win(story, amount)
        await stage.live(services, 3 * DAY)
        stage.edit("edited", amount="111")
        stage.edit("reopened", dealstage="qualifiedtobuy")
        stage.edit("again", dealstage="qualifiedtobuy")
        stage.edit("lost", dealstage="closedlost")
        at = stage.clock.go_on(HOUR)
        stage.portal.merge("deals", stage.ids["kept"], stage.ids["gone"], at)
        stage.portal.archive("deals", stage.ids["deleted"], at)
        await stage.live(services, 3 * DAY)
        stage.edit("again", dealstage="closedwon", amount="131")
        await stage.live(services, 5 * DAY)
        counts = await stage.counts(services)
        report = await books(services.database, BooksQuery())
        differences: dict[str, tuple[int, int]] = {}
        for one in report.differences:
            before = differences.get(one.destination, (0, 0))
            differences[one.destination] = (before[0] + one.told - one.true, before[1] + (one.overstated_micros or 0))
        traces = {}
        for story in ("lost", "edited"):
            found = await trace(services.database, services.keyring, f"deal:{stage.ids[story]}", stage.clock())
            assert found is not None
            traces[story] = [
                f"{owed.destination} {owed.kind} {owed.state} {owed.reason} {owed.sentence}"
                for one in found.conversions
                for owed in one.deliveries
                if owed.kind != "upload"
            ]
        assert report.is_balanced
        return counts, differences, traces
    finally:
        await services.close()


def overstated(counts: Counts) -> tuple[int, int]:
    """What a ledger counts beyond what is true: conversions and micros."""
    many = sum(counts[story][0] - TRUE[story][0] for story in TRUE)
    worth = sum(counts[story][1] - TRUE[story][1] for story in TRUE)
    return many, worth * 1_000_000


@pytest.mark.parametrize("retractions", ["auto", "off"])
async def test_each_ledger_ends_right_or_the_books_say_by_how_much_it_is_wrong(
    database_url: str, tmp_path: Path, retractions: str
) -> None:
    """Bidding learns from these ledgers; where one cannot be corrected, its owner must know what it overstates."""
    stage = CorrectionStage(database_url, tmp_path)

    counts, differences, traces = await told(stage, retractions=retractions)

    expected = dict.fromkeys(stage.platforms, AS_TOLD) | {
        "microsoft": TRUE,
        "google": TRUE if retractions == "auto" else RESTATED,
    }
    assert {
        name: {story: (many, int(worth)) for story, (many, worth) in found.items()} for name, found in counts.items()
    } == expected
    assert differences == {name: overstated(wanted) for name, wanted in expected.items() if wanted != TRUE}
    unable = sorted(name for name, wanted in expected.items() if wanted["lost"] != TRUE["lost"])
    for name in unable:
        assert any(line.startswith(f"{name} retract skipped unsupported The platform cannot") for line in traces["lost"])
    assert any(line.startswith("microsoft retract accepted") for line in traces["lost"])
    assert any(line.startswith("google restate confirmed") for line in traces["edited"])
