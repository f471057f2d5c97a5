from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from app.db.session import Database
from app.db.tables import spend
from app.reports.csv_table import FileInvalid
from app.reports.spend import import_spend
from connectors.contract.conversions import Money

AT = datetime(2026, 11, 24, tzinfo=UTC)
HEADER = "platform,campaign_id,day,cost,currency,campaign_name,clicks\n"


async def _rows(database: Database) -> dict[tuple[str, str, str], tuple[int, str, str | None, int | None]]:
    async with database.read() as connection:
        return {
            (row.platform, row.campaign_id, row.day): (row.cost_micros, row.currency, row.campaign_name, row.clicks)
            for row in await connection.execute(select(spend))
        }


async def test_spend_is_imported_and_told(database: Database, tmp_path: Path) -> None:
    """The operator compares the totals with the platform's own page."""
    file = tmp_path / "spend.csv"
    file.write_text(HEADER + "google,c1,2026-11-01,10.10,USD,Brand,5\ngoogle,c1,2026-11-02,0,USD,,\nmeta,7,2026-11-02,3,EUR,,\n")
    imported = await import_spend(database, file, actor="test", now=AT)

    assert str(imported) == "3 rows of spend for 2 days, 2026-11-01 to 2026-11-02: 3.00 EUR, 10.10 USD"
    assert await _rows(database) == {
        ("google", "c1", "2026-11-01"): (10_100_000, "USD", "Brand", 5),
        ("google", "c1", "2026-11-02"): (0, "USD", None, None),
        ("meta", "7", "2026-11-02"): (3_000_000, "EUR", None, None),
    }


async def test_importing_again_replaces(database: Database, tmp_path: Path) -> None:
    """Platforms correct the last days; the same export twice must not double the spend."""
    file = tmp_path / "spend.csv"
    file.write_text(HEADER + "google,c1,2026-11-01,10,USD,Old,5\ngoogle,c2,2026-11-01,1,USD,,\n")
    for _ in range(2):
        await import_spend(database, file, actor="test", now=AT)
    file.write_text(HEADER + "google,c1,2026-11-01,12,EUR,New,\n")
    await import_spend(database, file, actor="test", now=AT)

    assert await _rows(database) == {
        ("google", "c1", "2026-11-01"): (12_000_000, "EUR", "New", None),
        ("google", "c2", "2026-11-01"): (1_000_000, "USD", None, None),
    }


@pytest.mark.parametrize("bad", [1, 1500, 2999])
async def test_a_bad_row_imports_nothing(database: Database, tmp_path: Path, bad: int) -> None:
    """Half a month of spend would halve every cost, and nobody would see why."""
    file = tmp_path / "spend.csv"
    rows = [f"google,{number},2026-11-01,{'x' if number == bad else 1},USD,,\n" for number in range(3000)]
    file.write_text(HEADER + "".join(rows))

    with pytest.raises(FileInvalid, match=f"line {bad + 2}, column cost"):
        await import_spend(database, file, actor="test", now=AT)
    assert await _rows(database) == {}


async def test_a_file_that_changes_while_it_is_read_imports_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that is still being written must not be taken half."""
    file = tmp_path / "spend.csv"
    file.write_text(HEADER + "".join(f"google,{number},2026-11-01,1,USD,,\n" for number in range(1500)))
    from app.reports import spend as importing  # noqa: PLC0415 the module whose check is wrapped

    check = importing.check_spend

    def check_then_append(path: Path) -> importing.SpendImported:
        found = check(path)
        with path.open("a") as more:
            more.write("google,half")
        return found

    monkeypatch.setattr(importing, "check_spend", check_then_append)
    with pytest.raises(FileInvalid, match="changed while it was read"):
        await import_spend(database, file, actor="test", now=AT)
    assert await _rows(database) == {}


async def test_many_rows_are_imported_in_chunks(database: Database, tmp_path: Path) -> None:
    """Ten thousand rows, each exactly once, in one transaction."""
    file = tmp_path / "spend.csv"
    file.write_text(HEADER + "".join(f"google,{number},2026-11-01,0.01,USD,,1\n" for number in range(10_000)))
    imported = await import_spend(database, file, actor="test", now=AT)

    assert (imported.rows, imported.days, imported.first_day) == (10_000, 1, date(2026, 11, 1))
    assert imported.totals == (Money(100_000_000, "USD"),)
    assert len(await _rows(database)) == 10_000
