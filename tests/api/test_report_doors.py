"""Reports over REST: the same numbers as on the command line, strict questions, and nothing personal."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from app.reports.books import BooksQuery, books
from app.reports.funnel import FunnelQuery, campaigns, funnel
from app.reports.report_json import json_of
from tests.api.rig import NOW, Rig, rig_on


async def played(rig: Rig) -> None:
    """Two leads, one of them qualified, sent where they go."""
    rig.person(lifecyclestage="salesqualifiedlead")
    rig.person(email="john@example.org")
    await rig.services.tick()


async def asked(rig: Rig, path: str, **params: Any) -> Any:
    answer = await rig.client.get(f"/v1/reports/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_reports_say_what_the_command_line_says(tmp_path: Path) -> None:
    """Two ways to one number would soon be two numbers."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
        await played(rig)
        database, last = rig.services.database, NOW.date()
        first = last - timedelta(days=90)

        assert await asked(rig, "funnel") == json_of(await funnel(database, FunnelQuery(first, last)))
        by = FunnelQuery(first, last, by="campaign")
        assert await asked(rig, "campaigns") == json_of(await campaigns(database, by))
        assert await asked(rig, "books") == json_of(await books(database, BooksQuery(first, last)))
        assert "example.org" not in str(await asked(rig, "funnel"))


async def test_filters_are_those_of_the_command_line(tmp_path: Path) -> None:
    """A period that is asked for is the period that is told."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
        await played(rig)

        report = await asked(
            rig, "funnel", since="2026-11-01", until="2026-11-30", base="period", by="dimension:country", source="hubspot"
        )
        none = await asked(rig, "funnel", since="2026-10-01", until="2026-10-02", dimension="country=US")

        assert (report["since"], report["until"], report["base"], report["by"]) == (
            "2026-11-01",
            "2026-11-30",
            "period",
            "dimension:country",
        )
        assert [row["value"] for row in report["rows"]] == ["US"]
        assert none["total"]["milestones"] == {}


MISTAKES = (
    ("funnel?since=yesterday", "query.since", "2026-11-24"),
    ("funnel?since=1795514400", "query.since", "2026-11-24"),
    ("funnel?since=2026-11-31", "query.since", ""),
    ("funnel?since=2026-11-20&until=2026-11-01", "query.since", "swap"),
    ("funnel?by=color", "query.by", ""),
    ("funnel?by=dimension:", "query.by", ""),
    ("funnel?currency=dollars", "query.currency", ""),
    ("funnel?dimension=country", "query.dimension", ""),
    ("funnel?source=hubspt", "query.source", "hubspot"),
    ("campaigns?limit=0", "query.limit", ""),
    ("books?destination=gogle", "query.destination", "google"),
    ("books?sinc=2026-11-01", "query.sinc", "since"),
)


async def test_a_question_that_cannot_be_answered_names_its_mistake(tmp_path: Path) -> None:
    """A misspelt filter that was ignored would give a wrong number, and nobody would see it."""
    async with rig_on(tmp_path, f"sqlite:///{tmp_path / 'one.db'}") as rig:
        for address, path, word in MISTAKES:
            answer = await rig.client.get(f"/v1/reports/{address}")

            assert answer.status_code == 422, address
            (fault,) = answer.json()["errors"]
            assert fault["path"] == path
            assert word in str(fault)
