"""Ad spend over REST: judged as a file is, all or none, listed page by page, told in the audit log."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.db.bulk import insert_rows
from app.db.tables import spend
from app.reports.spend import import_spend
from tests.api.rig import NOW, Rig

ROW = {"platform": "google", "campaign_id": "c1", "day": "2026-11-20", "cost": "12.50", "currency": "USD"}


async def _put(rig: Rig, *rows: dict[str, Any]) -> Any:
    answer = await rig.client.put("/v1/spend", json={"rows": list(rows)})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _listed(rig: Rig, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = await rig.client.get("/v1/spend", params={**query, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next"]
        if cursor is None:
            return found


async def test_spend_is_stored_replaced_and_listed_in_pages(rig: Rig) -> None:
    """The same day sent twice costs once; every row is listed once, whatever the page."""
    many = [{**ROW, "campaign_id": f"c{n}", "day": f"2026-11-{day}"} for n in range(1, 4) for day in (20, 21)]
    told = await _put(rig, *many, {**ROW, "platform": "meta", "cost": "0.000001", "clicks": 7, "campaign_name": "Été"})
    await _put(rig, {**ROW, "cost": "99", "currency": "EUR"})

    assert told == {"rows": 7, "first_day": "2026-11-20", "last_day": "2026-11-21"}
    found = await _listed(rig, limit=2)
    assert [(one["platform"], one["campaign_id"], one["day"]) for one in found] == sorted(
        (one["platform"], one["campaign_id"], one["day"]) for one in [*many, {**ROW, "platform": "meta"}]
    )
    assert (found[0]["cost"], found[0]["currency"]) == ("99.00", "EUR")
    assert (found[-1]["cost"], found[-1]["clicks"], found[-1]["campaign_name"]) == ("0.000001", 7, "Été")
    assert len(await _listed(rig, platform="google", campaign_id="c2", since="2026-11-21", until="2026-11-21")) == 1


async def test_a_file_and_the_door_store_the_same(house: Rig, tmp_path: Path) -> None:
    """Two readings of one amount would be two truths."""
    file = tmp_path / "spend.csv"
    file.write_text("platform,campaign_id,day,cost,currency,clicks\ngoogle,c1,2026-11-20,12.50,USD,3\n", encoding="utf-8")
    await import_spend(house.services.database, file, actor="test", now=NOW)
    by_file = await _listed(house)

    await _put(house, {**ROW, "clicks": 3})

    assert await _listed(house) == by_file


async def test_whose_account_told_it_is_shown(house: Rig) -> None:
    """Who stores a row that a platform reports must see that it does."""
    (google,) = await house.services.destinations()
    row = {
        "platform": "google", "campaign_id": "c9", "day": "2026-11-20", "cost_micros": 5_000_000, "currency": "USD",
        "destination_id": google.id, "time_zone": "UTC", "read_at": int(datetime(2026, 11, 21, tzinfo=UTC).timestamp() * 1000),
    }  # fmt: skip
    async with house.services.database.write() as connection:
        await insert_rows(connection, spend, [row])

    (found,) = await _listed(house)

    assert (found["destination"], found["read_at"]) == ("google", "2026-11-21T00:00:00Z")


async def test_who_stored_it_stands_in_the_audit_log(house: Rig) -> None:
    """A cost that nobody entered is asked for."""
    await _put(house, ROW)

    lines = (await house.client.get("/v1/audit")).json()["items"]

    assert lines[0]["action"] == "spend.save"
    assert lines[0]["detail"] == {"rows": 1, "first_day": "2026-11-20", "last_day": "2026-11-20"}


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"cost": "-1"}, "body.rows.1.cost"),
        ({"cost": 12.5}, "body.rows.1.cost"),
        ({"cost": "1,5"}, "body.rows.1.cost"),
        ({"currency": "XYZ"}, "body.rows.1.currency"),
        ({"day": "20.11.2026"}, "body.rows.1.day"),
        ({"platform": "Google Ads"}, "body.rows.1.platform"),
        ({"campaign_id": "1.2E+15"}, "body.rows.1.campaign_id"),
        ({"campaign_name": "a\x07b"}, "body.rows.1.campaign_name"),
        ({"clicks": -1}, "body.rows.1.clicks"),
        ({"clicks": True}, "body.rows.1.clicks"),
        ({"campaign_id": "c1"}, "body.rows.1"),
        ({"spend": 1}, "body.rows.1.spend"),
    ],
)
async def test_one_wrong_row_stores_nothing(house: Rig, changed: dict[str, Any], path: str) -> None:
    """Half a month of spend would halve every cost, and nobody would see why."""
    answer = await house.client.put("/v1/spend", json={"rows": [ROW, {**ROW, "campaign_id": "c2", **changed}]})

    assert answer.status_code == 422
    assert [one["path"] for one in answer.json()["errors"]] == [path]
    assert await _listed(house) == []


@pytest.mark.parametrize("cursor", ["WzFd", "!", "WyJhIiwiYiJd"])
async def test_a_cursor_of_another_list_is_refused(house: Rig, cursor: str) -> None:
    """An empty page for it would look like the end."""
    answer = await house.client.get("/v1/spend", params={"cursor": cursor})

    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "cursor")
