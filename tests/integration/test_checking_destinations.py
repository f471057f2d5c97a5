"""Checks of one connection: test events only where asked for, and what is found beside the uploads pauses none."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from app.bootstrap.checking import CheckRefused
from app.bootstrap.failures import NameUnknown
from app.connections import repository as connections
from app.connections.repository import Role
from app.connections.settings import seal_settings
from app.db.tables import destinations
from app.reports.spend_words import NO_ACCOUNT
from connectors import registry
from connectors.contract.conversions import Target
from connectors.contract.errors import AuthenticationFailed
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.versions import ApiVersion
from tests.api.rig import NOW, Rig, rig_on
from tests.fake_ads import KIND, FakeAccount, bare_platform, fake_platform

OK, FAILED, UNPROVEN = FindingStatus.OK, FindingStatus.FAILED, FindingStatus.UNPROVEN
Found = Sequence[tuple[str, FindingStatus]]


@pytest.fixture
async def rig(tmp_path: Path, database_url: str) -> AsyncIterator[Rig]:
    """A house with a source, Google, and a destination of the fake kind."""
    async with rig_on(tmp_path, database_url) as one:
        async with one.services.database.write() as connection:
            sealed = seal_settings(one.services.keyring, {})
            await connections.upsert_destination(connection, "ads", KIND, sealed, None, 0)
        yield one


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> FakeAccount:
    """The account at the fake platform."""
    one = FakeAccount()
    monkeypatch.setattr(registry, "DESTINATIONS", {**registry.DESTINATIONS, KIND: fake_platform(one)})
    return one


async def _checked(rig: Rig, code: str | None = None) -> Found:
    ((name, findings),) = await rig.services.check_named("ads", code)
    assert name == "ads"
    return [(one.subject, one.status) for one in findings]


def _mapped(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def targets() -> object:
        return {"ads": {"lead": Target.of({"goal": "L"})}}

    monkeypatch.setattr(rig.services.contexts, "targets", targets)


async def _paused(rig: Rig) -> str | None:
    return next(row.pause_reason for row in await rig.services.destinations() if row.name == "ads")


async def _pause(rig: Rig) -> None:
    async with rig.services.database.write() as connection:
        row = await connections.destination_by_name(connection, "ads")
        assert row is not None
        await connections.pause(connection, Role.DESTINATION, row.id, "REFUSED", None)


async def test_one_connection_is_checked_and_no_other_is_asked(rig: Rig, account: FakeAccount) -> None:
    """A check of the CRM costs its requests; whoever mends one account asks for that one."""
    assert await _checked(rig) == [("token", OK)]
    await rig.services.check_named("google")
    await rig.services.check_named("hubspot")

    assert account.checks == 1
    with pytest.raises(NameUnknown, match="did you mean 'google'"):
        await rig.services.check_named("gogle")


async def test_only_a_code_sends_a_test_event(rig: Rig, account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up event that nobody asked for is a stranger in somebody's account."""
    _mapped(rig, monkeypatch)
    await rig.services.check_all()
    await rig.services.check_paused(NOW)
    await _checked(rig)
    before = list(account.test_events)

    found = await _checked(rig, "TEST123")

    assert (before, account.test_events) == ([], [("TEST123", {"lead": Target.of({"goal": "L"})})])
    assert found == [("token", OK), ("test_event:lead", OK)]


async def test_a_test_event_is_refused_or_left_out_with_words(
    rig: Rig, account: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees no event at the platform must read here why there is none."""
    with pytest.raises(CheckRefused, match="is a source"):
        await rig.services.check_named("hubspot", "TEST123")
    unmapped = await _checked(rig, "TEST123")
    _mapped(rig, monkeypatch)
    account.findings = [Finding("account", FAILED, "gone")]
    unsound = await _checked(rig, "TEST123")
    account.findings = [Finding("target:opportunity", FAILED, "gone")]
    one_target = await _checked(rig, "TEST123")
    monkeypatch.setattr(registry, "DESTINATIONS", {**registry.DESTINATIONS, KIND: bare_platform(account)})
    rig.services.openers._destinations.clear()
    ((_, unable),) = await rig.services.check_named("ads", "TEST123")

    assert unmapped[-1] == ("test_event", UNPROVEN)
    assert unsound == [("account", FAILED), ("test_event", UNPROVEN)]
    assert one_target[-1] == ("test_event:lead", OK)
    assert (unable[-1].status, "has no test events" in unable[-1].message) == (UNPROVEN, True)
    assert len(account.test_events) == 1


async def test_a_test_event_that_fails_is_a_finding(rig: Rig, account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor's words, and no pause: uploads have nothing to do with it."""
    _mapped(rig, monkeypatch)

    async def refused(*_: object) -> None:
        raise AuthenticationFailed("no right to test", code="DENIED")

    monkeypatch.setattr(registry.DESTINATIONS[KIND], "send_test_event", refused)

    assert await _checked(rig, "TEST123") == [("token", OK), ("test_event", FAILED)]
    assert await _paused(rig) is None


@pytest.mark.parametrize(("days", "found"), [(61, []), (60, [UNPROVEN]), (0, [FAILED])])
async def test_a_version_that_ends_is_found_and_pauses_nothing(
    rig: Rig, account: FakeAccount, days: int, found: Sequence[FindingStatus]
) -> None:
    """A version may live on past its announced day: what the platform still takes must go on being sent."""
    account.versions = [ApiVersion("Fake API", "v3", (NOW + timedelta(days=days)).date())]
    await _pause(rig)

    assert [status for subject, status in await _checked(rig) if subject == "api_version"] == found
    assert await _paused(rig) is None


@pytest.mark.parametrize(("error", "status"), [("no right", FAILED), (f"{NO_ACCOUNT}set it", UNPROVEN)])
async def test_spend_that_cannot_be_read_is_found_and_pauses_nothing(
    rig: Rig, account: FakeAccount, error: str, status: FindingStatus
) -> None:
    """A token without the right to report uploads all the same."""
    async with rig.services.database.write() as connection:
        await connection.execute(update(destinations).where(destinations.c.name == "ads").values(spend_error=error))
    await _pause(rig)

    assert await _checked(rig) == [("token", OK), ("spend", status)]
    assert await _paused(rig) is None


async def test_a_connector_s_own_finding_of_a_version_keeps_no_pause_either(rig: Rig, account: FakeAccount) -> None:
    """Some platforms say themselves that a version is old."""
    account.findings = [Finding("api_version", FAILED, "old")]
    await _pause(rig)
    await _checked(rig)
    assert await _paused(rig) is None

    account.findings = [Finding("account", FAILED, "gone")]
    await _pause(rig)
    await _checked(rig)
    assert await _paused(rig) == "REFUSED"
