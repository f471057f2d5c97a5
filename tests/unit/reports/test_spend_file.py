import tracemalloc
from datetime import date, timedelta
from pathlib import Path

import pytest

from app.reports.csv_table import FileInvalid, FileMistake
from app.reports.spend import check_spend
from app.reports.spend_file import SpendRow, read_chunks
from connectors.contract.conversions import Money

MICROS = 1_000_000
HEADER = "platform,campaign_id,day,cost,currency\n"
FULL = "platform,campaign_id,day,cost,currency,campaign_name,clicks,impressions\n"


def _read(tmp_path: Path, content: bytes | str) -> list[SpendRow | FileMistake]:
    path = tmp_path / "spend.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [one for chunk in read_chunks(path) for one in chunk]


def _told(tmp_path: Path, content: bytes | str) -> str:
    return "\n".join(str(one) for one in _read(tmp_path, content) if isinstance(one, FileMistake))


def test_a_row_is_read_whole(tmp_path: Path) -> None:
    """Every column, text as text, the cost exact."""
    rows = _read(tmp_path, FULL + 'google,0123,2026-11-01,0.1,USD,"Brand, exact",12,\n')

    wanted = SpendRow(2, "google", "0123", date(2026, 11, 1), 100_000, "USD", "Brand, exact", 12, None)
    assert rows == [wanted]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + HEADER.encode() + b"google,c1,2026-11-01,12.5,USD\r\n",
        b"Platform; Campaign_ID ;day;cost;currency\ngoogle;c1;2026-11-01;12.5;USD",
        b"\n\ncurrency,cost,day,campaign_id,platform\n\nUSD,12.50,2026-11-01, c1 ,google\n\n",
        b'"platform","campaign_id","day","cost","currency"\n"google","c1","2026-11-01","12.500000","USD"\n',
    ],
)
def test_what_spreadsheets_write_is_read_alike(tmp_path: Path, content: bytes) -> None:
    """A byte order mark, semicolons, another order of columns, quotes, blank lines: all are the same file."""
    (row,) = _read(tmp_path, content)

    assert isinstance(row, SpendRow)
    assert (row.key, row.cost_micros) == (("google", "c1", "2026-11-01"), 12_500_000)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("Google Ads,c,2026-11-01,1,USD", "line 2, column platform: `Google Ads` is no platform; write `google_ads`"),
        ("?,c,2026-11-01,1,USD", "column platform: `?` is no platform; write one word in lower case"),
        ("google,,2026-11-01,1,USD", "column campaign_id: is empty"),
        ("google,1.23457E+11,2026-11-01,1,USD", "column campaign_id: `1.23457E+11` is a number that a spreadsheet shortened"),
        ("google,c\x07d,2026-11-01,1,USD", "column campaign_id: `c?d` is longer"),
        ("google,c,01/11/2026,1,USD", "column day: `01/11/2026` is no day; write it like 2026-11-22"),
        ("google,c,20261101,1,USD", "column day: `20261101` is no day"),
        ("google,c,2026-11-31,1,USD", "column day: `2026-11-31` is no day of the calendar"),
        ("google,c,2026-11-0١,1,USD", "column day: "),
        ("google,c,2026-11-01,-1,USD", "column cost: `-1` is negative"),
        ("google,c,2026-11-01,1e3,USD", "column cost: `1e3` is no amount; write it like 1234.50"),
        ("google,c,2026-11-01,NaN,USD", "column cost: `NaN` is no amount"),
        ("google,c,2026-11-01,1.1234567,USD", "at most six digits"),
        ("google,c,2026-11-01,,USD", "column cost: `` is no amount"),
        ("google,c,2026-11-01,$5,USD", "column cost: `$5` is no amount"),
        ("google,c,2026-11-01,1,usd", "column currency: `usd` is no ISO 4217 currency; did you mean USD?"),
        ("google,c,2026-11-01,1,UDS", "did you mean USD?"),
        ("google,c,2026-11-01,1,", "column currency: `` is no ISO 4217 currency"),
        ("google,c,2026-11-01,1,234.50,USD", "line 2: has 6 cells, the header names 5; quote a cell that holds a comma"),
        ("google", "line 2: has 1 cells"),
    ],
)
def test_a_mistake_tells_its_place_and_its_mend(tmp_path: Path, row: str, told: str) -> None:
    """A person with a spreadsheet must be able to mend it without asking."""
    assert told in _told(tmp_path, HEADER + row + "\n")


def test_every_wrong_cell_of_a_row_is_told(tmp_path: Path) -> None:
    """One mistake an import would cost a round for each."""
    assert _told(tmp_path, FULL + "G,c,x,y,z,n,1.5,-3\n").count("line 2, column ") == 6


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: the file is empty; its first line must name the columns platform,campaign_id"),
        (b"\n \n", "the file is empty"),
        (b"platform,campaign,day,cost\n", "line 1, column currency: the column is missing"),
        (b"platform,campaign,day,cost\n", "line 1, column campaign: there is no such column; did you mean `campaign_"),
        (b"platform,platform,campaign_id,day,cost,currency\n", "line 1, column platform: the column is there twice"),
        (b"google,c1,2026-11-01,1,USD\n", "the column is missing"),
        (HEADER.encode("utf-16"), "the file is UTF-16; save it as `CSV UTF-8`"),
        (HEADER.encode() + b"google,\xe9t\xe9,2026-11-01,1,USD\n", "line 2: byte 8 is no UTF-8; save the file as `CSV UTF-8`"),
        (b"PK\x03\x04\x00\x00", "holds a zero byte"),
        (HEADER.encode() + b'google,"c,2026-11-01,1,USD\n', "no CSV from here on"),
        (HEADER.encode().replace(b"\n", b"\r") + b"google,c,2026-11-01,1,USD\r", "line ends"),
        (HEADER.encode() + b"x" * 70_000, "line 2: the line is longer than 64 kB"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    """Wrong encodings, other formats, files without a header: each a sentence, never a stack."""
    assert told in _told(tmp_path, content)


def test_the_first_twenty_mistakes_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    """A wrong column makes a mistake a row; the screen must not scroll away."""
    path = tmp_path / "spend.csv"
    path.write_text(HEADER + "google,c,never,1,USD\n" * 1234)

    with pytest.raises(FileInvalid) as caught:
        check_spend(path)
    assert (len(caught.value.mistakes), caught.value.count) == (20, 1234)
    assert "line 21, column day" in str(caught.value)
    assert str(caught.value).endswith("and 1,214 more")


def test_a_key_twice_with_other_numbers_is_a_mistake(tmp_path: Path) -> None:
    """Which of the two is true is not ours to guess; twice the same is harmless."""
    path = tmp_path / "spend.csv"
    path.write_text(HEADER + "google,c,2026-11-01,1,USD\ngoogle,c,2026-11-01,1.00,USD\n")
    assert check_spend(path).rows == 1

    path.write_text(HEADER + "google,c,2026-11-01,1,USD\nmeta,c,2026-11-01,2,USD\ngoogle,c,2026-11-01,3,USD\n")
    with pytest.raises(FileInvalid, match="line 4: google c on 2026-11-01 stands in line 2 with other numbers"):
        check_spend(path)


def test_a_header_alone_is_a_mistake(tmp_path: Path) -> None:
    """An export with a wrong filter is empty; importing nothing in silence would hide it."""
    path = tmp_path / "spend.csv"
    path.write_text(HEADER)

    with pytest.raises(FileInvalid, match="no row below the header"):
        check_spend(path)


def _long_file(path: Path, rows: int) -> Path:
    with path.open("w") as file:
        file.write(HEADER)
        for number in range(rows):
            day = date(2025, 1, 1) + timedelta(days=number % 300)
            file.write(f"google,{number // 300},{day},{number}.01,EUR\n")
    return path


def test_a_hundred_thousand_rows_are_checked_whole(tmp_path: Path) -> None:
    """Years of spend of every ad set come in one file."""
    found = check_spend(_long_file(tmp_path / "spend.csv", 100_000))

    assert (found.rows, found.days, found.first_day) == (100_000, 300, date(2025, 1, 1))
    assert found.totals == (Money(99_999 * 50_000 * MICROS + 100_000 * 10_000, "EUR"),)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A small container must not be killed by a large export."""
    peaks = []
    for rows in (2_000, 12_000):
        path = _long_file(tmp_path / f"{rows}.csv", rows)
        tracemalloc.start()
        try:
            check_spend(path)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    assert peaks[1] < peaks[0] + 200_000, peaks
