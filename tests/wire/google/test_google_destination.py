"""The Google connector against the simulated Data Manager API."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.ads.google import GoogleDestination, GoogleSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Money, Target, UploadRow
from connectors.contract.errors import AuthenticationFailed, RateLimited
from connectors.contract.findings import FindingStatus
from connectors.contract.results import (
    Accepted,
    AlreadyThere,
    Later,
    NotProcessed,
    Rejected,
    StillProcessing,
    TargetRefused,
    Unmatched,
    VerdictLost,
    Verdicts,
)
from connectors.contract.tokens import Tokens
from connectors.simulators.google import (
    Account,
    Behaviour,
    Click,
    ConversionAction,
    GooglePlatform,
    PathStyle,
    Quota,
    RefreshGrant,
    create_google,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADS, MANAGER, OTHER = "4812093377", "7701128856", "5550001111"
SQL, WON = "7302219941", "7302219958"
GRANTED = Consent(ConsentState.GRANTED, ConsentState.GRANTED)
EMAIL = {Identifier.EMAIL_GOOGLE_SHA256: hashlib.sha256(b"someone@example.com").hexdigest()}
GCLID = {Identifier.GCLID: "Cj0KCQ_fresh"}
SETTINGS = {
    "account_id": "481-209-3377",
    "login_account_id": MANAGER,
    "access_token": "good",
    "base_url": "http://google.test",
    "token_url": "http://google.test/token",
}


class MemoryTokens:
    tokens: Tokens | None = None

    async def load(self) -> Tokens | None:
        return self.tokens

    async def save(self, expected_version: int, tokens: Tokens) -> Tokens | None:
        self.tokens = Tokens(tokens.access_token, tokens.expires_at, tokens.refresh_token, expected_version + 1)
        return self.tokens


@asynccontextmanager
async def no_lock() -> AsyncIterator[None]:
    yield


class Rig:
    """One platform, one clock, connectors on demand."""

    def __init__(self) -> None:
        self.now = NOW
        old = NOW - timedelta(days=300)
        account = Account(ADS, {each: ConversionAction(each, old) for each in (SQL, WON)}, frozenset({MANAGER}), currency="EUR")
        quick = Behaviour(shortest_delay=timedelta(hours=1), longest_delay=timedelta(hours=1))
        self.platform = GooglePlatform([account, Account(OTHER)], behaviour=quick)
        self.platform.add_token("good", [MANAGER], NOW + timedelta(days=99))
        self.platform.add_clicks(
            Click("Cj0KCQ_fresh", ADS, NOW - timedelta(days=5)), Click("Cj0KCQ_young", ADS, NOW - timedelta(hours=2))
        )

    def connector(self, **changes: str) -> GoogleDestination:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=create_google(self.platform, lambda: self.now)))
        settings = GoogleSettings.from_mapping({**SETTINGS, **changes})
        return GoogleDestination(client, settings, MemoryTokens(), no_lock, lambda: self.now)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def row(number: int, action: str = WON, **changes: Any) -> UploadRow:
    given: dict[str, Any] = {
        "kind": DeliveryKind.UPLOAD,
        "conversion_id": f"ll{number:026d}",
        "milestone": "won",
        "target": Target.of({"conversion_action": action}),
        "occurred_at": NOW - timedelta(days=1),
        "identifiers": GCLID,
        "consent": GRANTED,
        "money": Money(120_500_000, "EUR"),
    }
    return UploadRow(**{**given, **changes})


async def test_a_mixed_batch(rig: Rig) -> None:
    """What is wrong is told row by row and what is right goes in one request."""
    rows = [
        row(0, consent=Consent(ConsentState.UNKNOWN, ConsentState.GRANTED)),
        row(1),
        row(2, identifiers={}),
        row(3, SQL, identifiers=EMAIL),
        row(4, occurred_at=NOW + timedelta(hours=1)),
        row(5, occurred_at=NOW - timedelta(days=64), identifiers=EMAIL),
        row(6, kind=DeliveryKind.RETRACT),
        row(7, "customers/1/conversionActions/2"),
        row(8, money=Money(-1, "EUR")),
    ]
    results = await rig.connector().upload(rows, NOW)
    receipt = next(iter(rig.platform.taken))
    assert results[1] == Accepted(receipt, 0)
    assert results[3] == Accepted(receipt, 1)
    assert results[4] == Later(NOW + timedelta(hours=1), "FUTURE")
    codes = [each.code for each in results if isinstance(each, Rejected)]
    assert codes == ["LOCAL_CONSENT", "NO_IDENTIFIERS_PROVIDED", "EVENT_TOO_OLD", "UNSUPPORTED", "NEGATIVE_VALUE"]
    assert isinstance(results[7], TargetRefused)
    (sent,) = rig.platform.received(WON)
    assert (sent["conversionValue"], sent["eventTimestamp"]) == (120.5, "2026-11-21T12:00:00.000Z")


async def test_nothing_valid_sends_nothing(rig: Rig) -> None:
    """No request leaves for rows that are all refused here."""
    assert await rig.connector().upload([], NOW) == []
    await rig.connector().upload([row(1, identifiers={})], NOW)
    assert rig.platform.calls.total() == 0


@pytest.mark.parametrize("style", PathStyle)
async def test_named_rows_and_targets(rig: Rig, style: PathStyle) -> None:
    """A refused request judges the rows it names and leaves the others alone."""
    rig.platform.behaviour.path_style = style
    rows = [row(1), row(2, money=Money(1_000_000, "QQQ")), row(3, "999")]
    results = await rig.connector().upload(rows, NOW)
    assert isinstance(results[0], NotProcessed)
    assert isinstance(results[1], Rejected)
    assert results[1].code == "INVALID_CURRENCY_CODE"
    assert isinstance(results[2], TargetRefused)
    assert (results[2].target, results[2].code) == ("999", "INVALID_CONVERSION_ACTION_ID")
    assert not rig.platform.taken


async def test_a_refusal_that_names_nobody(rig: Rig) -> None:
    """The dispatcher halves such a batch until the single row is known."""
    connector = rig.connector()
    ahead = NOW + timedelta(minutes=5)
    rows = [row(1), row(2, occurred_at=NOW + timedelta(minutes=1))]
    assert [type(each) for each in await connector.upload(rows, ahead)] == [NotProcessed, NotProcessed]
    assert await connector.upload(rows[1:], ahead) == [Rejected("INVALID_ARGUMENT", "Request contains an invalid argument.")]


async def test_a_young_action_waits(rig: Rig) -> None:
    """A conversion action made an hour ago is no mistake."""
    rig.platform.world.accounts[ADS].actions[SQL].created_at = NOW - timedelta(hours=1)
    results = await rig.connector().upload([row(1, SQL), row(2)], NOW)
    assert results[0] == Later(NOW + timedelta(hours=6), "CONVERSION_ACTION_TOO_RECENTLY_CREATED")
    assert isinstance(results[1], NotProcessed)


async def test_verdicts(rig: Rig) -> None:
    """Late verdicts are told by position, under each of the late meanings."""
    connector = rig.connector()
    first = await connector.upload([row(1)], NOW)
    assert isinstance(first[0], Accepted)
    young = row(2, identifiers={Identifier.GCLID: "Cj0KCQ_young"}, occurred_at=NOW - timedelta(hours=1))
    results = await connector.upload([row(3), young, row(4, SQL, identifiers=EMAIL), row(1)], NOW)
    assert isinstance(results[0], Accepted)
    assert results[0].receipt is not None
    assert await connector.verdict(results[0].receipt, 4, NOW) == StillProcessing()
    rig.now = NOW + timedelta(hours=2)
    verdict = await connector.verdict(results[0].receipt, 4, rig.now)
    assert verdict == Verdicts(
        {
            1: Later(rig.now + timedelta(hours=6), "TOO_RECENT_CLICK"),
            2: Unmatched("CLICK_NOT_FOUND"),
            3: AlreadyThere("DUPLICATE_TRANSACTION_ID"),
        }
    )
    assert await connector.verdict("nobody", 1, rig.now) == VerdictLost("INVALID_REQUEST_ID")
    rig.now = NOW + timedelta(days=60)
    assert await connector.verdict(results[0].receipt, 4, rig.now) == VerdictLost("REQUEST_TOO_OLD")


async def test_check_tells_token_account_and_action_apart(rig: Rig) -> None:
    """Each mistake has its own mend, and nothing is counted."""
    ok, failed, unproven = FindingStatus.OK, FindingStatus.FAILED, FindingStatus.UNPROVEN
    targets = {"sql": Target.of({"conversion_action": SQL}), "won": Target.of({"conversion_action": WON})}

    async def found(targets: dict[str, Target] = targets, **changes: str) -> list[FindingStatus]:
        findings = await rig.connector(**changes).check(targets)
        assert [each.subject for each in findings] == ["token", "account", *(f"target:{name}" for name in targets)]
        assert all(each.mend for each in findings if each.status is not ok)
        return [each.status for each in findings]

    assert await found() == [ok, ok, ok, ok]
    assert await found(access_token="wrong") == [failed, unproven, unproven, unproven]
    assert await found(account_id=OTHER) == [ok, failed, unproven, unproven]
    wrong = {**targets, "won": Target.of({"conversion_action": "1"}), "lost": Target.of({})}
    assert await found(wrong) == [ok, ok, ok, failed, failed]
    assert await found({}) == [ok, unproven]
    rig.platform.behaviour.is_service_enabled = False
    assert await found() == [failed, unproven, unproven, unproven]
    assert not rig.platform.taken


async def test_calls_that_fail(rig: Rig) -> None:
    """A wrong account pauses the connection and a throttled project waits a minute."""
    with pytest.raises(AuthenticationFailed) as refused:
        await rig.connector(account_id=OTHER).upload([row(1)], NOW)
    assert refused.value.code == "PERMISSION_DENIED"
    rig.platform.quota = Quota(per_minute=0)
    with pytest.raises(RateLimited) as throttled:
        await rig.connector().upload([row(1)], NOW)
    assert throttled.value.retry_after == timedelta(seconds=60)


async def test_a_refresh_token_is_exchanged(rig: Rig) -> None:
    """The OAuth way, from the refresh token to an accepted row."""
    rig.platform.add_grant(RefreshGrant("1//refresh", "client", "secret", frozenset({MANAGER})))
    oauth = {"access_token": "", "client_id": "client", "client_secret": "secret", "refresh_token": "1//refresh"}
    (result,) = await rig.connector(**oauth).upload([row(1)], NOW)
    assert isinstance(result, Accepted)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"account_id": ""}, "account_id"),
        ({"customer": "1"}, "customer"),
        ({"access_token": ""}, "client_id"),
        ({"event_source": "CRM"}, "event_source"),
        ({"access_token": "", "service_account_json": "{}"}, "service_account_json"),
    ],
)
def test_settings_name_the_key(changes: dict[str, str], named: str) -> None:
    """A user reads which setting to mend."""
    with pytest.raises(ValueError, match=named):
        GoogleSettings.from_mapping({**SETTINGS, **changes})


def test_secrets_stay_out_of_the_repr() -> None:
    """Settings get into logs."""
    assert "good" not in repr(GoogleSettings.from_mapping(SETTINGS))
