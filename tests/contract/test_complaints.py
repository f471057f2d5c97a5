"""What users of other connectors complain about is a test here: the vendors' READMEs say which, and each of them exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPLAINTS = {"hubspot": 14, "pipedrive": 14, "salesforce": 17}
TEST = re.compile(r"`([^`]*?\.py)?(?:(?:\.\.\.)?::(test_\w+))?`")


def _rows(vendor: str) -> Iterator[tuple[int, str]]:
    """The number of each complaint, with the cell that names its tests."""
    text = (ROOT / "connectors" / "crm" / vendor / "README.md").read_text(encoding="utf-8")
    for line in text.partition("## What users of other connectors complain about")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0].isdigit():
            yield int(cells[0]), cells[2]


def _file(vendor: str, name: str) -> Path:
    found = [path for path in (ROOT / "tests").rglob(Path(name).name) if name in (path.name, path.relative_to(ROOT).as_posix())]
    own = [path for path in found if vendor in path.parts] or found
    assert len(own) == 1, f"{name} is no test file, or several"
    return own[0]


@pytest.mark.parametrize("vendor", sorted(COMPLAINTS))
def test_every_complaint_has_a_test_that_exists(vendor: str) -> None:
    """A promise of a test that was renamed away is no promise."""
    rows = list(_rows(vendor))

    assert sorted({number for number, _ in rows}) == list(range(1, COMPLAINTS[vendor] + 1))
    for number, cell in rows:
        named = [(file, test) for file, test in TEST.findall(cell) if file or test]
        assert named, f"complaint {number} names no test"
        file = ""
        for given, test in named:
            file = given.removesuffix("...") or file
            tree = ast.parse(_file(vendor, file).read_text(encoding="utf-8"))
            tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert not test or test in tests, f"complaint {number}: {file} has no {test}"
