"""Checks: one connection's failure hides no other's, and each pause ends by its own finding."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from app.bootstrap.contexts import Contexts
from app.connections import repository as connections
from app.connections.repository import Role
from connectors.ads.google.destination import GoogleDestination
from connectors.contract.conversions import Target
from connectors.contract.findings import Finding, FindingStatus
from connectors.simulators.faults import refused
from tests.api.rig import Rig, rig_on


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """A house with one source and one destination."""
    async with rig_on(tmp_path, database_url) as one:
        yield one


async def _ids(rig: Rig) -> tuple[int, int]:
    (source,), (destination,) = await rig.services.sources(), await rig.services.destinations()
    return source.id, destination.id


async def _pauses(rig: Rig) -> tuple[str | None, str | None, list[str]]:
    (source,), (destination,) = await rig.services.sources(), await rig.services.destinations()
    async with rig.services.database.read() as connection:
        targets = await connections.target_pauses_of(connection, [destination.id])
    return source.pause_reason, destination.pause_reason, [one.target for one in targets.get(destination.id, ())]


async def test_a_check_goes_on_after_a_crm_that_is_down(rig: Rig) -> None:
    """The page must show what is right and what is wrong, whichever comes first."""
    rig.stage.plans["hubspot"].always(refused())

    told = dict(await rig.services.check_all())

    (finding,) = told["hubspot"]
    assert (finding.subject, finding.status) == ("connection", FindingStatus.FAILED)
    assert finding.mend
    assert {one.status for one in told["google"]} == {FindingStatus.OK, FindingStatus.UNPROVEN}


async def test_what_was_refused_goes_on_by_itself_once_it_is_mended(rig: Rig) -> None:
    """Whoever gives the right back in HubSpot or Google need not know our command line."""
    source_id, destination_id = await _ids(rig)
    async with rig.services.database.write() as connection:
        await connections.pause(connection, Role.SOURCE, source_id, "REFUSED", None)
        await connections.pause(connection, Role.DESTINATION, destination_id, "REFUSED", None)
        await connections.pause_target(connection, destination_id, '{"conversion_action":"of an old mapping"}', "GONE", 0)

    await rig.services.check_paused(rig.stage.clock.now)

    assert await _pauses(rig) == (None, None, [])


async def test_only_what_awaits_a_check_is_checked_by_itself(rig: Rig) -> None:
    """A throttled CRM said when to come back; asking before would be held against us."""
    source_id, _ = await _ids(rig)
    async with rig.services.database.write() as connection:
        await connections.pause(connection, Role.SOURCE, source_id, "RATE", 9_999_999_999_999)
    rig.stage.plans["google"].always(refused())

    await rig.services.check_paused(rig.stage.clock.now)

    assert await _pauses(rig) == ("RATE", None, [])


async def test_a_refused_target_holds_back_itself_only(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One conversion action that was deleted must not stop the revenue of the others."""
    _, destination_id = await _ids(rig)
    targets = (await rig.services.contexts.targets())["google"]
    texts = {name: orjson.dumps(dict(one.settings), option=orjson.OPT_SORT_KEYS).decode() for name, one in targets.items()}
    bad, good = sorted(texts)[:2]

    async def check(_: GoogleDestination, targets: Mapping[str, Target]) -> Sequence[Finding]:
        return [Finding(f"target:{one}", FindingStatus.FAILED if one == bad else FindingStatus.OK, "as it is") for one in targets]

    monkeypatch.setattr(GoogleDestination, "check", check)
    async with rig.services.database.write() as connection:
        await connections.pause(connection, Role.DESTINATION, destination_id, "REFUSED", None)
        await connections.pause_target(connection, destination_id, texts[bad], "GONE", 0)
        await connections.pause_target(connection, destination_id, texts[good], "GONE", 0)

    await rig.services.check_all()

    assert await _pauses(rig) == (None, None, [texts[bad]])


async def test_targets_of_two_sources_are_both_checked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second source's conversion action must not hide the first's."""
    (row,) = await rig.services.sources()
    context = await rig.services.contexts.of_source(row)
    assert context is not None
    milestone = next(iter(context.destinations[0].targets))
    own = await rig.services.contexts.targets()

    terms = replace(context.destinations[0], targets={milestone: '{"conversion_action":"9"}'})
    other = replace(context, name="other", destinations=(terms,))

    async def of_source(_: Contexts, asked: connections.SourceRow) -> object:
        return other if asked.name == "other" else context

    async def list_sources(_: object) -> list[connections.SourceRow]:
        return [row, replace(row, id=row.id + 1, name="other")]

    monkeypatch.setattr(Contexts, "of_source", of_source)
    monkeypatch.setattr("app.bootstrap.contexts.connections.list_sources", list_sources)

    found = (await rig.services.contexts.targets())["google"]

    assert own["google"].keys() - found.keys() == {milestone}
    assert found[f"other.{milestone}"] == Target.of({"conversion_action": "9"})
    assert found[f"hubspot.{milestone}"] == own["google"][milestone]
