"""Mistakes of an operator: each a clear error naming the place and the mend; nothing is stored."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.bootstrap.services import Services, open_services
from app.config import ConfigInvalid, Settings
from app.db.lock import AlreadyServed, sqlite_lock
from app.demo.stage import Stage
from connectors.contract.errors import AuthenticationFailed
from connectors.contract.findings import FindingStatus
from tests.stages import stage_of

ENDS_AT = datetime(2026, 11, 24, tzinfo=UTC)


async def _services(stage: Stage, url: str, client: httpx.AsyncClient) -> Services:
    settings = Settings(database_url=url, secret_key=SecretStr("a long enough secret text"), allow_custom_base_urls=True)
    return await open_services(settings, clock=stage.clock, environ={}, http=client, sleep=stage.clock.sleep)


def _config(stage: Stage, **secrets: str) -> str:
    return stage.config(("google",), ENDS_AT - timedelta(days=30), **secrets)


@pytest.mark.parametrize(
    ("good", "bad", "path", "nearest"),
    [
        ("enters: [closedwon]", "enters: [closedwn]", "milestones[3].when[0].enters[0]", "closedwon"),
        ("deal.amount", "deal.amont", "milestones[3].value.field", "deal.amount"),
        ("      google:\n        qualified", "      gogle:\n        qualified", "destinations.gogle", "google"),
        ("conversion_action:", "conversion_acton:", "destinations.google", "conversion_action"),
        ("model: fixed", "model: averge", "milestones[1].value.model", "average"),
        ("pipeline: default", "pipeline: defalt", "milestones[2].when[0].pipeline", "default"),
    ],
)
async def test_a_mistake_names_its_place_and_the_nearest_word(
    tmp_path: Path, good: str, bad: str, path: str, nearest: str
) -> None:
    """An operator who mistypes a word must not have to search for it, and nothing half-right may be stored."""
    stage = stage_of(days=3, most_deals=1, ends_at=ENDS_AT)
    services = await _services(stage, f"sqlite:///{tmp_path / 'bad.db'}", stage.http)
    file = tmp_path / "leadloop.yaml"
    file.write_text(_config(stage).replace(good, bad), encoding="utf-8")

    with pytest.raises(ConfigInvalid) as refused:
        await services.apply_file(file, actor="test")

    assert path in str(refused.value)
    assert nearest in str(refused.value)
    assert await services.sources() == []
    assert await services.destinations() == []
    await services.close()


async def test_a_wrong_crm_key_is_told_before_anything_is_stored(tmp_path: Path) -> None:
    """A typo in a token is the most common first mistake."""
    stage = stage_of(days=3, most_deals=1, ends_at=ENDS_AT)
    services = await _services(stage, f"sqlite:///{tmp_path / 'key.db'}", stage.http)
    file = tmp_path / "leadloop.yaml"
    file.write_text(_config(stage, hubspot="pat-na1-00000000-0000"), encoding="utf-8")

    with pytest.raises(AuthenticationFailed):
        await services.apply_file(file, actor="test")

    assert await services.sources() == []
    await services.close()


async def test_a_refused_destination_keeps_everything_owed_and_check_names_the_mend(tmp_path: Path) -> None:
    """A revoked token pauses the destination; nothing is dropped, nothing is counted, and the mend is said."""
    stage = stage_of(days=30, most_deals=10, ends_at=ENDS_AT)
    services = await _services(stage, f"sqlite:///{tmp_path / 'paused.db'}", stage.http)
    file = tmp_path / "leadloop.yaml"
    file.write_text(_config(stage, google="wrong-token"), encoding="utf-8")
    await services.apply_file(file, actor="test")
    for one in stage.world.happenings:
        stage.happen(one)
    stage.clock.now = ENDS_AT

    summary = await services.sync()
    findings = dict(await services.check_all())["google"]

    assert summary.is_stuck
    assert summary.accepted == 0
    assert any(finding.status is FindingStatus.FAILED and finding.mend for finding in findings)
    file.write_text(_config(stage), encoding="utf-8")
    await services.apply_file(file, actor="test")
    await services.check_all()
    again = await services.sync()
    assert again.accepted > 0
    assert not again.is_stuck
    await services.close()


def test_a_second_server_on_one_file_is_refused(tmp_path: Path) -> None:
    """Two schedulers on one SQLite file would fight; the second must say so and end."""
    url = f"sqlite:///{tmp_path / 'one.db'}"

    with sqlite_lock(url), pytest.raises(AlreadyServed, match="another `leadloop serve`"), sqlite_lock(url):
        pass
