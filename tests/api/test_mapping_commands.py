"""An operator's life of a mapping on the command line: look, compare, preview, activate, roll back, reapply."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.bootstrap.services import Services
from app.config import load_mappings
from tests.api.rig import Rig, rig_on
from tests.commands import Run, in_environ, teller


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: io.StringIO, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line on a house with three people, one of them qualified: exit code, what was said, what was complained of."""
    assert not logs.getvalue()
    in_environ(monkeypatch, tmp_path)

    async def fill(rig: Rig) -> None:
        for stage in ("lead", "lead", "salesqualifiedlead"):
            rig.person(email=f"{stage}@example.com", lifecyclestage=stage)
        await rig.services.tick()

    in_house(tmp_path, fill)

    return teller(monkeypatch, capsys)


def in_house(folder: Path, work: Callable[[Rig], Awaitable[None]]) -> None:
    """Do something in the house, as another process."""

    async def play() -> None:
        async with rig_on(folder, f"sqlite:///{folder / 'one.db'}") as rig:
            await work(rig)

    asyncio.run(play())


def document_of(run: Run) -> dict[str, Any]:
    code, out, _ = run("mapping", "show", "hubspot", "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def with_value(document: dict[str, Any], amount: int) -> dict[str, Any]:
    """The same mapping with another worth of a qualified lead."""
    milestones = [
        {**one, "value": {"model": "fixed", "amount": amount, "currency": "USD"}} if one["name"] == "qualified_lead" else one
        for one in document["milestones"]
    ]
    return {**document, "milestones": milestones}


def store(folder: Path, document: dict[str, Any]) -> None:
    async def save(services: Services) -> None:
        await services.mapping_versions().save("hubspot", document, actor="test")

    in_house(folder, lambda rig: save(rig.services))


def test_what_show_prints_is_a_config_file_again(run: Run, tmp_path: Path) -> None:
    """Whoever edits what they see gets the same mapping back, to the last type."""
    document = document_of(run)

    code, out, _ = run("mapping", "show", "hubspot")

    file = tmp_path / "shown.yaml"
    file.write_text(out, encoding="utf-8")
    assert code == 0
    assert out.startswith("# version 1, active, made ")
    assert load_mappings(file).mappings[""].data == document


def test_a_file_is_previewed_on_real_records_before_anything_is_stored(run: Run, tmp_path: Path) -> None:
    """Counts, worth, reasons, identifiers and examples, in words and as the API tells them."""
    file = tmp_path / "edited.yaml"
    file.write_text(yaml.safe_dump({"mappings": {"hubspot": with_value(document_of(run), 75)}}), encoding="utf-8")

    code, out, _ = run("mapping", "preview", "hubspot", str(file), "--restate")
    as_json = json.loads(run("mapping", "preview", "hubspot", str(file), "--restate", "--json")[1])
    listed = run("mapping", "list", "hubspot")[1]

    assert code == 0
    assert "this file (version 1 is active), on 3 records stored" in out
    assert "  qualified_lead: 1 -> 1 (1 revalued); worth 50.00 USD -> 75.00 USD" in out
    assert "  of 3 people it could know by: email_google_sha256 3 (100%)" in out
    assert "qualified_lead 2026-" in out
    assert (as_json["version"], as_json["against"], as_json["records"]) == (0, 1, 3)
    assert len(listed.splitlines()) == 2


def test_a_mistake_in_a_file_is_told_line_by_line(run: Run, tmp_path: Path) -> None:
    """As lint tells it, but with what the CRM has."""
    file = tmp_path / "edited.yaml"
    document = {**document_of(run), "dimensions": {"country": "contact.contry", "x": "deal.amont"}}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")

    code, _, err = run("mapping", "preview", "hubspot", str(file))

    assert code == 2
    assert "dimensions.country: the CRM has no contact property `contry` (did you mean `contact.country`?)\n" in err
    assert "dimensions.x: the CRM has no deal property `amont` (did you mean `deal.amount`?)\n" in err


def test_a_version_is_compared_activated_and_rolled_back(run: Run, tmp_path: Path) -> None:
    """The plan names what changes; without a yes nothing does; an older version is activated just so."""
    store(tmp_path, with_value(document_of(run), 75))

    diff = run("mapping", "diff", "hubspot", "1", "2")[1].splitlines()
    refused = run("mapping", "activate", "hubspot", "2")
    between = run("mapping", "list", "hubspot")[1].splitlines()
    done = run("mapping", "activate", "hubspot", "2", "--yes")
    again = run("mapping", "activate", "hubspot", "2", "--yes")
    back = run("mapping", "activate", "hubspot", "1", "--yes")

    assert diff == ["- milestones[qualified_lead].value.amount: 50", "+ milestones[qualified_lead].value.amount: 75"]
    assert refused[0] == 2
    assert "version 2 in place of version 1 of hubspot" in refused[1]
    assert "there is no terminal to ask at; --yes agrees to the plan above" in refused[2]
    assert between[2].split()[:2] == ["1", "active"]
    assert (done[0], "version 2 is active" in done[1]) == (0, True)
    assert again[1] == "version 2 is active already\n"
    assert (back[0], "version 1 is active" in back[1]) == (0, True)


def test_a_reapply_shows_its_plan_and_is_carried_out(run: Run, tmp_path: Path) -> None:
    """Without a yes it changes nothing; with one, values follow the active version, once."""
    store(tmp_path, with_value(document_of(run), 75))
    run("mapping", "activate", "hubspot", "2", "--yes")

    refused = run("reapply", "hubspot", "--restate")
    done = run("reapply", "hubspot", "--restate", "--yes")
    again = run("reapply", "hubspot", "--restate", "--yes")

    plan = "  qualified_lead: 1 -> 1 (1 revalued); worth 50.00 USD -> 75.00 USD"
    assert refused[0] == 2
    assert plan in refused[1].splitlines()
    assert plan in done[1].splitlines()
    assert "version 2, done: 3 records looked at; 1 revalued" in done[1]
    assert "nothing changes" in again[1]
    assert "version 2, done: 3 records looked at; nothing changed" in again[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mapping", "list", "hubspt"), "there is no source `hubspt`"),
        (("mapping", "show", "hubspot", "9"), "has no version 9"),
        (("mapping", "preview", "hubspot", "9"), "has no version 9"),
        (("mapping", "preview", "hubspot", "nowhere.yaml"), "nowhere.yaml cannot be read"),
        (("mapping", "activate", "hubspot", "9", "--yes"), "has no version 9"),
        (("reapply", "hubspt", "--yes"), "there is no source `hubspt`"),
    ],
)
def test_a_wrong_word_is_one_clear_line(run: Run, words: tuple[str, ...], said: str) -> None:
    """Nobody reads a traceback."""
    code, _, err = run(*words)

    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1
