"""What the doors tell of destinations: state, limits as data, versions that end, spend, unknown codes."""

import io
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from sqlalchemy import update

from app.api.examples import STATUS
from app.api.examples_of_platforms import DESTINATION
from app.bootstrap.services import Services
from app.config import Settings
from app.connections import repository as connections
from app.connections.repository import Role
from app.connections.settings import seal_settings
from app.db.bulk import insert_rows
from app.db.instants import to_ms
from app.db.session import Database
from app.db.tables import destinations, unknown_codes
from app.main import create_app
from app.reports.spend_words import NO_ACCOUNT
from app.scheduler import Job, JobTable
from connectors import registry
from connectors.contract.versions import ApiVersion
from tests.api.rig import NOW, Rig
from tests.api.rows import TARGET
from tests.fake_ads import KIND, FakeAccount, fake_platform
from tests.statements import asked


@pytest.fixture
async def account(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> FakeAccount:
    """A second destination, of the fake kind, called `ads`."""
    one = FakeAccount()
    monkeypatch.setattr(registry, "DESTINATIONS", {**registry.DESTINATIONS, KIND: fake_platform(one)})
    async with rig.services.database.write() as connection:
        await connections.upsert_destination(connection, "ads", KIND, seal_settings(rig.services.keyring, {}), None, 0)
    return one


async def _set(rig: Rig, **values: object) -> None:
    async with rig.services.database.write() as connection:
        await connection.execute(update(destinations).where(destinations.c.name == "ads").values(**values))


async def _ads(rig: Rig) -> Any:
    answer = await rig.client.get("/v1/status")
    assert answer.status_code == 200
    return next(one for one in answer.json()["destinations"] if one["name"] == "ads")


async def test_a_destination_tells_its_limits_as_data(rig: Rig, account: FakeAccount) -> None:
    """A page, or a person, asks what the platform takes without reading our code."""
    google = next(row for row in await rig.services.destinations() if row.name == "google")
    async with rig.services.database.write() as connection:
        await connections.pause_target(connection, google.id, TARGET, "NOT_FOUND", to_ms(NOW))
        await connections.pause(connection, Role.DESTINATION, google.id, "UNAUTHENTICATED", None)
    await _set(rig, adaptive_rows=50)
    account.versions = [ApiVersion("Fake API", "v3", date(2027, 6, 1))]

    ads = (await rig.client.get("/v1/destinations/ads")).json()
    listed = (await rig.client.get("/v1/destinations")).json()["items"]

    assert listed[0] == ads
    assert [one["name"] for one in listed] == ["ads", "google"]
    assert (listed[1]["pause"]["reason"], listed[1]["paused_targets"][0]["code"]) == ("UNAUTHENTICATED", "NOT_FOUND")
    assert (ads["kind"], ads["mode"], ads["pause"], ads["rows_per_request_now"]) == (KIND, "live", None, 50)
    assert ads["limits"] == {
        "rows": 500,
        "targets_per_request": 1,
        "requests_per_minute": 60,
        "age_with_click_days": 90,
        "age_without_click_days": 7,
        "click_age_days": None,
        "click_too_recent_hours": 6,
        "identifiers": ["email_sha256", "gclid"],
        "click_identifiers": ["gclid"],
        "sufficient": [["gclid"], ["email_sha256"]],
        "apart": [],
        "dedup": "forever",
        "dedup_window_days": None,
        "corrections": {"restates": True, "retracts": False, "after_hours": 24, "within_days": 55},
        "needs_value": False,
        "target_settings": ["goal"],
        "send_when": "any",
    }
    assert ads["api_versions"] == [
        {"api": "Fake API", "version": "v3", "sunset": "2027-06-01", "state": "in_use", "message": None, "mend": None}
    ]
    assert ads["abilities"] == {"adjusts": False, "confirms": False, "spend": True, "provisions": True, "test_events": True}


async def test_a_name_that_is_not_there_is_a_problem(rig: Rig) -> None:
    """A typing mistake is told with what was meant."""
    answer = await rig.client.get("/v1/destinations/gogle")
    unknown = await rig.client.get("/v1/destinations?mode=live")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "did you mean 'google'?" in answer.json()["detail"]
    assert unknown.status_code == 422


def test_the_examples_are_what_the_contract_says() -> None:
    """Whoever writes a client by the example must not be misled by a field that is not there."""
    document = create_app().openapi()
    schemas = document["components"]["schemas"]
    status: Any = STATUS
    destination: Any = DESTINATION
    for shown, name in (
        (destination, "DestinationView"),
        (destination["limits"], "LimitsView"),
        (status["destinations"][0], "DestinationStatus"),
        (status["destinations"][0]["rows"], "RowsStatus"),
        (status["destinations"][0]["spend"], "SpendStatus"),
        (status["destinations"][0]["unknown_codes"][0], "CodeStatus"),
        (status["destinations"][0]["api_versions"][0], "VersionStatus"),
    ):
        assert shown.keys() == schemas[name]["properties"].keys(), name
    assert document["paths"]["/v1/destinations/{name}"]["get"]["responses"].keys() >= {"200", "401", "404", "422", "503"}


async def test_the_status_tells_how_many_rows_go_in_a_request(rig: Rig, account: FakeAccount) -> None:
    """A request that shrank by itself must not look like a fault of ours, nor an operator's number like the platform's."""
    seen = []
    for values in ({}, {"adaptive_rows": 125}, {"adaptive_rows": None, "batch_rows": 10}, {"batch_rows": 9000}):
        await _set(rig, **values) if values else None
        seen.append((await _ads(rig))["rows"])

    assert [(one["most"], one["now"]) for one in seen] == [(500, 500), (500, 125), (500, 10), (500, 500)]
    assert [one["message"] is None for one in seen] == [True, False, False, True]
    assert "by itself" in seen[1]["message"]


async def test_the_status_tells_how_reading_spend_stands(rig: Rig, account: FakeAccount) -> None:
    """A report without costs must be explained by the page that everybody looks at first."""
    never = (await _ads(rig))["spend"]
    await _set(rig, spend_read_at=to_ms(NOW), spend_error="the token lacks a right")
    failed = (await _ads(rig))["spend"]
    await _set(rig, spend_error=f"{NO_ACCOUNT}set `ad_account_id`")
    unwanted = (await _ads(rig))["spend"]
    await _set(rig, spend_error=None)
    read = (await _ads(rig))["spend"]

    assert (never["read_at"], never["error"]) == (None, None)
    assert (failed["error"], "leadloop spend read" in failed["mend"]) == ("the token lacks a right", True)
    assert "settings" in unwanted["mend"]
    assert (read["read_at"], read["mend"]) == ("2026-11-24T10:00:00Z", None)
    google = next(one for one in (await rig.client.get("/v1/status")).json()["destinations"] if one["name"] == "google")
    assert (google["spend"] is None) == (not hasattr(registry.DESTINATIONS["google"], "spend"))


@pytest.mark.parametrize(("sunset", "state"), [(61, "in_use"), (60, "ending"), (1, "ending"), (0, "over"), (-9, "over")])
async def test_the_status_tells_versions_that_end(rig: Rig, account: FakeAccount, sunset: int, state: str) -> None:
    """Uploads that stop on a known day need nobody to be surprised."""
    account.versions = [ApiVersion("Fake API", "v3", (NOW + timedelta(days=sunset)).date())]

    (told,) = (await _ads(rig))["api_versions"]

    assert told["state"] == state
    assert (told["mend"] is None) == (state == "in_use")


async def test_the_status_tells_codes_that_nobody_knows(rig: Rig, account: FakeAccount) -> None:
    """A new refusal of the platform is retried for days: somebody must be told before the window closes."""
    ads = next(row for row in await rig.services.destinations() if row.name == "ads")
    at = {"first_at": to_ms(NOW - timedelta(days=1)), "last_at": to_ms(NOW)}
    rows = [{"destination_id": ads.id, "code": code, "times": times, **at} for code, times in (("RARE", 1), ("NEW", 7))]
    async with rig.services.database.write() as connection:
        await insert_rows(connection, unknown_codes, rows)

    told = (await _ads(rig))["unknown_codes"]

    assert sorted((one["code"], one["times"]) for one in told) == [("NEW", 7), ("RARE", 1)]
    assert told[0]["last_at"] == "2026-11-24T10:00:00Z"
    assert all(one["message"] and one["mend"] for one in told)


async def test_what_is_new_in_the_status_costs_no_statement_for_each_destination(rig: Rig, account: FakeAccount) -> None:
    """The page is asked for by monitors, and an agency has a hundred accounts."""
    counts = []
    for number in range(2):
        with asked(rig.services.database) as seen:
            await rig.client.get("/v1/status")
            await rig.client.get("/v1/destinations")
        counts.append(len([one for one, _ in seen if "deliveries" not in one]))
        async with rig.services.database.write() as connection:
            sealed = seal_settings(rig.services.keyring, {})
            await connections.upsert_destination(connection, f"more{number}", KIND, sealed, None, 0)

    assert counts[0] == counts[1]


async def test_a_destination_whose_settings_cannot_be_used_is_shown_all_the_same(rig: Rig, account: FakeAccount) -> None:
    """A secret that was not handed on at the start must not take the page away that says so."""
    sealed = seal_settings(rig.services.keyring, {"token": "${NOT_THERE}"})
    await _set(rig, settings_sealed=sealed)

    assert (await _ads(rig))["api_versions"] == []
    assert (await rig.client.get("/v1/destinations/ads")).json()["limits"]["rows"] == 500


async def test_a_start_warns_of_versions_that_end(rig: Rig, account: FakeAccount, logs: io.StringIO) -> None:
    """Sixty days are enough to upgrade, where somebody is told."""
    account.versions = [ApiVersion("Fake API", "v3", (NOW + timedelta(days=30)).date()), ApiVersion("Other", "v1")]

    await rig.services.warn_of_versions()

    lines = [orjson.loads(line) for line in logs.getvalue().splitlines() if "api_version.ending" in line]
    assert [(line["destination"], "Fake API v3" in line["message"]) for line in lines] == [("ads", True)]


@pytest.mark.usefixtures("logs")
async def test_a_server_warns_at_its_start_and_reads_spend_four_times_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not in the job table is never done, however well it works by hand."""
    jobs: dict[str, timedelta] = {}
    warned: list[Services] = []

    class Recording(JobTable):
        def __init__(self, database: Database, some: Sequence[Job], *rest: Any, **more: Any) -> None:
            jobs.update({one.name: one.every for one in some})
            super().__init__(database, [], *rest, **more)

    async def warn_of_versions(services: Services) -> None:
        warned.append(services)

    monkeypatch.setattr("app.main.JobTable", Recording)
    monkeypatch.setattr(Services, "warn_of_versions", warn_of_versions)
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'server.db'}", secret_key=SecretStr("a secret text that is long"))
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        pass

    assert (jobs["spend"], len(warned)) == (timedelta(hours=6), 1)
