"""People who withdraw their consent after they were sent: what each platform's ledger counts, by what the mapping says of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.bootstrap.services import Services
from app.db.tables import deliveries, destinations
from app.reports.books import BooksQuery, books
from tests.e2e.correction_stage import DAY, HOUR, CorrectionStage

STORIES = ("control", "denied", "emptied", "again", "regretted", "edited", "lost")
TAKES_BACK = ("google", "microsoft")


async def _play(stage: CorrectionStage, services: Services) -> None:
    """All are sent on the first day; on the fourth they say no, on the eighth some say yes again."""
    for place, story in enumerate(STORIES):
        stage.win(story, 100 + place)
    await stage.live(services, 3 * DAY)
    for story in ("denied", "again", "regretted", "edited", "lost"):
        stage.consent(story, "no")
    stage.consent("emptied", "")
    await services.tick()
    stage.consent("regretted", "yes")  # before anything could be taken back
    await services.tick()
    await stage.live(services, 4 * DAY)
    stage.consent("again", "yes")
    stage.edit("edited", amount="900")
    stage.edit("lost", dealstage="closedlost")
    await stage.live(services, 4 * DAY)


async def _counted(stage: CorrectionStage, services: Services) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    found = await stage.counts(services)
    return {name: {story: (many, int(worth)) for story, (many, worth) in told.items()} for name, told in found.items()}


async def _corrections(services: Services, kind: str = "retract") -> Sequence[tuple[str, str, str]]:
    async with services.database.read() as connection:
        joined = select(deliveries, destinations.c.name).join(destinations, destinations.c.id == deliveries.c.destination_id)
        rows = await connection.execute(joined.where(deliveries.c.kind == kind))
        return sorted((row.name, row.state, row.reason) for row in rows)


async def test_what_was_sent_is_taken_back_once_where_the_mapping_says_so(database_url: str, tmp_path: Path) -> None:
    """Whoever says no does not want to be counted; a platform that cannot take it back shows in the books."""
    stage = CorrectionStage(database_url, tmp_path, on_withdrawal="retract")
    services = await stage.open(retractions="auto")
    try:
        await _play(stage, services)

        counts = await _counted(stage, services)
        report = await books(services.database, BooksQuery())
        standing = await _corrections(services)
        requests = {name: stage.platforms[name].requests() for name in TAKES_BACK}
        await stage.live(services, 3 * DAY)
    finally:
        await services.close()

    kept = {"control": (1, 100), "emptied": (1, 102), "regretted": (1, 104)}
    gone = dict.fromkeys(("denied", "again", "edited", "lost"), (0, 0))
    as_sent = {story: (1, 100 + place) for place, story in enumerate(STORIES)}
    for name, told in counts.items():
        assert told == (kept | gone if name in TAKES_BACK else as_sent), name
    by_platform = {name: [(state, reason) for one, state, reason in standing if one == name] for name in counts}
    for name in TAKES_BACK:
        sent = [state for state, reason in by_platform[name] if reason != "superseded"]
        assert len(sent) == len(gone)
        assert set(sent) <= {"accepted", "confirmed"}
    assert all(set(by_platform[name]) == {("skipped", "unsupported")} for name in set(counts) - set(TAKES_BACK))
    assert report.is_balanced
    assert {one.destination for one in report.differences} == set(counts)
    assert {name: stage.platforms[name].requests() for name in TAKES_BACK} == requests, "asked again of what was taken back"


async def test_nothing_is_taken_back_without_that(database_url: str, tmp_path: Path) -> None:
    """MAPPING's default: what was sent with consent stays, and what the CRM corrects later waits for consent."""
    stage = CorrectionStage(database_url, tmp_path)
    services = await stage.open(retractions="auto")
    try:
        await _play(stage, services)

        counts = await _counted(stage, services)
        standing = await _corrections(services)
    finally:
        await services.close()

    assert all(told == {story: (1, 100 + place) for place, story in enumerate(STORIES)} for told in counts.values())
    assert {(state, reason) for name, state, reason in standing if name in TAKES_BACK} == {("skipped", "no_consent")}


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_what_was_taken_back_is_not_restated_and_comes_back_only_as_another(database_url: str, tmp_path: Path) -> None:
    """Under an id that a platform was told to forget, a restatement would count again (P2)."""
    stage = CorrectionStage(database_url, tmp_path, on_withdrawal="retract")
    services = await stage.open(retractions="auto")
    try:
        await _play(stage, services)
        restated = [one for one in await _corrections(services, "restate") if one[0] in TAKES_BACK]
        stage.consent("lost", "yes")
        stage.edit("lost", dealstage="closedwon", amount="555")
        await stage.live(services, 4 * DAY)
        counts = await _counted(stage, services)
    finally:
        await services.close()

    assert restated == []
    assert {name: counts[name]["lost"] for name in TAKES_BACK} == dict.fromkeys(TAKES_BACK, (1, 555))


@pytest.mark.parametrize("database_kind", ["sqlite"])
async def test_another_mapping_withdraws_nobodys_consent(database_url: str, tmp_path: Path) -> None:
    """Only what a person said counts: a field that is named otherwise would take back all that was ever sent (P11)."""
    stage = CorrectionStage(database_url, tmp_path, on_withdrawal="retract")
    services = await stage.open(retractions="auto")
    try:
        stage.win("control", 100)
        await stage.live(services, 3 * DAY)
        active = await services.mapping_versions().active("hubspot")
        assert active is not None
        document = dict(active.document)
        document["consent"] = {
            "ad_user_data": {"field": "contact.ads_consent", "granted": ["never"]},
            "on_withdrawal": "retract",
        }
        await _activate(services, document)
        stage.portal.update("contacts", stage.contacts["control"], {"lastname": "Other"}, stage.clock.go_on(HOUR))
        await stage.live(services, 3 * DAY)
        standing = await _corrections(services)
    finally:
        await services.close()

    assert standing == []


async def _activate(services: Services, document: dict[str, Any]) -> None:
    versions = services.mapping_versions()
    saved = await versions.save("hubspot", document, actor="test")
    assert saved.view is not None
    await versions.activate("hubspot", saved.view.version, 1, actor="test")
