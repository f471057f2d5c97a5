import asyncio
from pathlib import Path

import orjson
import pytest

from app.db.session import Database
from tests.commands import run_command
from tests.integration.reports_rig import Rig
from tests.integration.test_reports import _fill

SPAN = ("--since", "2026-11-01", "--until", "2026-11-30")
MAPPING = {"google": {"closed_revenue": {"a": "1"}}}


@pytest.fixture
def filled(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A filled database, named by the environment; no secret key is set."""

    async def fill() -> None:
        database = Database(database_url)
        rig = Rig(database)
        await rig.source()
        await rig.destination(7, "google")
        await rig.mapping(MAPPING)
        await _fill(rig)
        await database.close()

    asyncio.run(fill())
    monkeypatch.setenv("LEADLOOP_DATABASE_URL", database_url)
    monkeypatch.delenv("LEADLOOP_SECRET_KEY", raising=False)
    return database_url


def test_the_funnel_is_told_on_a_screen(filled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a marketing person reads: counts, costs with their currency, and whom it counts."""
    assert run_command(monkeypatch, "report", "funnel", *SPAN) == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["leads", "lead", "5", "-", "-", "27.00", "USD", "0", "0", "1"] in lines
    assert ["customers", "closed_revenue", "2", "40.0", "%", "100.0", "%", "67.50", "USD", "0", "1", "0"] in lines
    assert ["ROAS", "6.67"] in lines
    assert any(line[:4] == ["Everyone", "created", "in", "the"] for line in lines)


def test_campaigns_are_told_with_their_names_and_a_total(
    filled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Largest spend first, no number where there is none, a total below."""
    assert run_command(monkeypatch, "report", "campaigns", *SPAN) == 0

    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert ["Name", "of", "c1", "90.00", "3", "2", "2", "1", "800.00", "266.67", "8.89", "10.0"] in lines
    assert ["google", "c1", "30.00", "45.00", "45.00", "90.00"] in lines
    assert ["total", "135.00", "5", "2", "2", "2", "900.00", "180.00", "6.67", "15.0"] in lines
    assert out.index("Name of c1") < out.index("Name of m1") < out.index("Name of idle") < out.index("not attributed")


def test_books_that_do_not_balance_end_with_one(
    filled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that watches the books must see it without reading."""
    assert run_command(monkeypatch, "report", "books", *SPAN) == 1

    out = capsys.readouterr().out
    assert "The books do NOT balance" in out
    assert "2026-11-12 closed_revenue at google: 1 found, with no delivery and no reason for it" in out


@pytest.mark.parametrize("words", [("funnel",), ("campaigns",), ("campaigns", "--by", "platform"), ("books",)])
def test_json_holds_what_the_screen_shows(
    filled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """For spreadsheets and the API: amounts as text, no float, the same totals."""
    run_command(monkeypatch, "report", *words, *SPAN, "--json")

    document = orjson.loads(capsys.readouterr().out)
    if words[0] == "books":
        assert document["is_balanced"] is False
        assert document["totals"][0]["found"] == sum(row["found"] for row in document["rows"]) == 5
        return
    total = document["total"]
    assert (total["spend"]["amount"], total["revenue"]["amount"], document["currency"]) == ("135.00", "900.00", "USD")
    assert total["metrics"]["cost_per_lead"] == "27.000000"
    assert total["metrics"]["roas"] == "6.666667"
    assert total["milestones"]["lead"] == {"people": 5, "implied": 0, "ended": 0, "duplicates": 1}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("report", "funnel", "--since", "yesterday"), "--since yesterday is no day; write it like 2026-11-22"),
        (("report", "funnel", "--by", "[/colour]"), "`[/colour]` is nothing to break down by"),
        (("report", "funnel", "--dimension", "country"), "write it like country=US"),
        (("report", "funnel", "--currency", "usd"), "--currency usd is no currency"),
        (("report", "funnel", "--steps", "lead"), "--steps takes four milestones"),
        (("report", "books", "--by", "hour"), "use milestone or day"),
        (("report", "books", "--destination", "absent"), "known are: google"),
        (("spend", "import", "absent.csv"), "absent.csv cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_is_one_sentence(
    filled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    """No stack, exit code 2, the mend named."""
    assert run_command(monkeypatch, *words) == 2

    assert told in " ".join(capsys.readouterr().err.split())


def test_spend_is_imported_by_command(
    filled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And the next report knows it; hostile text from a file reaches neither markup nor terminal."""
    file = tmp_path / "spend.csv"
    file.write_text("platform,campaign_id,day,cost,currency,campaign_name\ngoogle,c1,2026-11-01,165,USD,[red]Brand\n")
    assert run_command(monkeypatch, "spend", "import", str(file)) == 0
    assert "1 row of spend for 1 day, 2026-11-01 to 2026-11-01: 165.00 USD" in capsys.readouterr().out

    run_command(monkeypatch, "report", "campaigns", *SPAN)
    out = capsys.readouterr().out
    assert "270.00" in out
    assert "Name of c1" in out, "the name of the newest day"
    file.write_text("platform,campaign_id,day,cost,currency\n[/bold],c1,2026-11-01,1,USD\n")
    assert run_command(monkeypatch, "spend", "import", str(file)) == 2
    assert "`[/bold]` is no platform" in capsys.readouterr().err
