"""What an upload came to in a few words, and the rows of a table of the facts: for tests that hold one against the other."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from connectors.contract.conversions import UploadRow
from connectors.contract.destination import AdDestination, Adjusts
from connectors.contract.errors import ConnectorError, RateLimited, Unavailable, UnexpectedReply
from connectors.contract.results import Retry, UploadResult, VerdictResult
from connectors.simulators.faults import Fault
from tests.contract.ad_reading import connected, one_form, rows
from tests.contract.ad_stage import AdStage


def words(outcome: UploadResult | VerdictResult | ConnectorError) -> str:
    """`Rejected CODE`, `Retry CODE`, `Retry CODE (unknown)`, `RateLimited CODE 60 s`, `Unavailable CODE unknown` and the like."""
    parts = [type(outcome).__name__, str(getattr(outcome, "code", ""))]
    match outcome:
        case Retry(is_known=False):
            parts.append("(unknown)")
        case RateLimited():
            parts.append("-" if outcome.retry_after is None else f"{outcome.retry_after.total_seconds():.0f} s")
        case Unavailable() | UnexpectedReply():
            parts.append(str(outcome.effect))
        case _:
            pass
    return " ".join(part for part in parts if part)


async def uploaded(stage: AdStage, fault: Fault, count: int = 1) -> list[str]:
    """Upload so many rows, which meet the fault: what became of each, or of the call."""
    stage.plan.always(fault)
    async with connected(stage) as destination:
        return await _told(destination, one_form(stage, destination, rows(stage, count)), stage)


async def _told(destination: AdDestination, given: Sequence[UploadRow], stage: AdStage) -> list[str]:
    try:
        return [words(result) for result in await destination.upload(given, stage.clock())]
    except ConnectorError as error:
        return [words(error)]


async def adjusted(stage: AdStage, fault: Fault, given: Sequence[UploadRow]) -> list[str]:
    """Send corrections, which meet the fault: what became of each, or of the call."""
    stage.plan.always(fault)
    async with connected(stage) as destination:
        assert isinstance(destination, Adjusts)
        try:
            return [words(result) for result in await destination.adjust(given, stage.clock())]
        except ConnectorError as error:
            return [words(error)]


def fact_rows(shared: Path, name: str, heading: str) -> Iterator[list[str]]:
    """The cells of each row of the tables under a heading of the facts, marks of code left out; header rows are left out too."""
    lines = (shared / "facts" / name).read_text(encoding="utf-8").splitlines()
    level = heading.partition(" ")[0]
    start = next(number for number, line in enumerate(lines) if line.startswith(heading))
    ends = (number for number, line in enumerate(lines) if number > start and _closes(line, level))
    end = next(ends, len(lines))
    tables = [line for line in lines[start + 1 : end] if line.startswith("|")]
    for line, following in itertools.zip_longest(tables, tables[1:], fillvalue=""):
        is_header = following.startswith("|---") or line.startswith("|---")
        if not is_header:
            yield [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]


def _closes(line: str, level: str) -> bool:
    """A heading of the same level or a higher one."""
    mark = line.partition(" ")[0]
    return mark.startswith("#") and set(mark) == {"#"} and len(mark) <= len(level)
