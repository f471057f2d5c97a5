"""Upload, late verdict, check and credentials over the wire."""

import inspect
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.types import Options

from connectors.ads.google.destination import GoogleDestination, auth_from
from connectors.ads.google.settings import KNOWN_SETTINGS, GoogleSettings
from connectors.contract.conversions import DeliveryKind, Identifier, Money, Target
from connectors.contract.errors import AuthenticationFailed, Effect, RequestRefused, Unavailable, UnexpectedReply
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.results import Accepted, Rejected, VerdictLost, Verdicts
from connectors.contract.tokens import Tokens
from tests.wire.google.google_rig import NOW, SQL, WON, Google, NoToken, connected, refused, row, told_of_uploads

OK, FAILED, UNPROVEN = FindingStatus.OK, FindingStatus.FAILED, FindingStatus.UNPROVEN
TARGETS = {"qualified_lead": Target.of({"conversion_action": SQL}), "closed_revenue": Target.of({"conversion_action": WON})}


async def test_a_receipt_and_the_place_of_each_event() -> None:
    """The verdict comes by place: a row that was not sent takes none."""
    google = Google((200, {"requestId": "r-1"}))

    async with connected(google) as destination:
        results = await destination.upload([row(1), row(2, identifiers={}), row(3, action=WON), row(4, action=WON)], NOW)

    assert results == [
        Accepted("r-1", 2),
        Rejected("identifiers_insufficient", "no identifier that Google takes"),
        Accepted("r-1", 0),
        Accepted("r-1", 1),
    ]
    request = google.requests[0]
    assert (request.method, str(request.url)) == ("POST", "https://datamanager.googleapis.com/v1/events:ingest")
    assert request.headers["authorization"] == "Bearer x"


async def test_a_restatement_is_the_same_event_with_its_new_value() -> None:
    """Google knows a restatement by id and action; another id would count twice."""
    google = Google((200, {"requestId": "r-1"}))
    upload = row(1, money=Money(100_000_000, "EUR"))
    restate = row(1, money=Money(80_000_000, "EUR"), kind=DeliveryKind.RESTATE)

    async with connected(google) as destination:
        await destination.upload([upload], NOW)
        assert await destination.adjust([restate], NOW) == [Accepted("r-1", 0)]

    first, second = (body["events"][0] for body in google.bodies)
    assert {**first, "conversionValue": 80.0} == second


async def test_nothing_valid_sends_nothing() -> None:
    """An empty request would be refused as a whole."""
    google = Google((200, {"requestId": "r-1"}))

    async with connected(google) as destination:
        results = await destination.upload([row(identifiers={})], NOW)
        assert await destination.upload([], NOW) == []

    assert [type(result) for result in results] == [Rejected]
    assert google.requests == []


@pytest.mark.parametrize("body", [{}, {"requestId": ""}, [], "ok"])
async def test_taken_without_a_receipt_is_of_unknown_effect(body: object) -> None:
    """Google may have counted the rows; only its dedup makes another try safe."""
    async with connected(Google((200, body))) as destination:
        with pytest.raises(UnexpectedReply) as caught:
            await destination.upload([row()], NOW)

    assert caught.value.effect is Effect.UNKNOWN


async def test_an_upload_is_sent_once() -> None:
    """Retrying is the outbox's matter."""
    google = Google(httpx.ReadTimeout("slow"))

    async with connected(google) as destination:
        with pytest.raises(Unavailable) as caught:
            await destination.upload([row()], NOW)

    assert caught.value.effect is Effect.UNKNOWN
    assert len(google.requests) == 1


async def test_verdict_asks_by_receipt() -> None:
    """The receipt is the only handle on the outcome."""
    google = Google((200, {"requestStatusPerDestination": [{"requestStatus": "SUCCESS"}]}))

    async with connected(google) as destination:
        assert await destination.verdict("r 1&x", 2, NOW) == Verdicts({})

    url = google.requests[0].url
    assert (url.path, dict(url.params)) == ("/v1/requestStatus:retrieve", {"requestId": "r 1&x"})


@pytest.mark.parametrize("code", ["REQUEST_TOO_OLD", "INVALID_REQUEST_ID"])
async def test_a_forgotten_receipt_is_lost_not_failed(code: str) -> None:
    """After fifty days Google forgets; the rows stay accepted."""
    async with connected(Google((400, refused(reason=code)))) as destination:
        assert await destination.verdict("r", 1, NOW) == VerdictLost(code)


async def test_other_refusals_of_the_question_leave_it_open() -> None:
    """A malformed question is ours to mend and must not lose the verdict."""
    async with connected(Google((400, refused(reason="INVALID_ARGUMENT")))) as destination:
        with pytest.raises(RequestRefused):
            await destination.verdict("r", 1, NOW)
    async with connected(Google((403, refused(reason="PERMISSION_DENIED")))) as destination:
        with pytest.raises(AuthenticationFailed):
            await destination.verdict("r", 1, NOW)


async def statuses(
    google: Google, *, has_token: bool = True, targets: Mapping[str, Target] | None = None
) -> dict[str, FindingStatus]:
    return {one.subject: one.status for one in await findings(google, has_token=has_token, targets=targets)}


async def findings(google: Google, *, has_token: bool = True, targets: Mapping[str, Target] | None = None) -> list[Finding]:
    async with connected(google, None if has_token else NoToken()) as destination:
        return list(told_of_uploads(await destination.check(TARGETS if targets is None else targets)))


async def test_check_counts_nothing() -> None:
    """A check that uploads would be a conversion nobody made."""
    google = Google((200, {}))

    assert set((await statuses(google)).values()) == {OK}
    assert [body["validateOnly"] for body in google.bodies] == [True, True]
    events = [body["events"][0] for body in google.bodies]
    assert len({event["transactionId"] for event in events}) == 2
    assert {tuple(event) for event in events} == {
        ("destinationReferences", "transactionId", "eventTimestamp", "eventSource", "userData")
    }


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, {}, (FAILED, UNPROVEN, UNPROVEN, UNPROVEN)),
        (403, refused(reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT"), (FAILED, UNPROVEN, UNPROVEN, UNPROVEN)),
        (403, refused(reason="PERMISSION_DENIED"), (OK, FAILED, UNPROVEN, UNPROVEN)),
        (400, refused(("destinations[0].login_account.account_id", "INVALID_FORMAT")), (OK, FAILED, UNPROVEN, UNPROVEN)),
        (400, refused(("destinations[0].product_destination_id", "INVALID_FORMAT")), (OK, OK, FAILED, FAILED)),
        (400, refused(reason="CONVERSION_ACTION_TOO_RECENTLY_CREATED"), (OK, OK, UNPROVEN, UNPROVEN)),
        (400, refused(("events[0].event_source", "INVALID_ENUM_VALUE")), (OK, FAILED, UNPROVEN, UNPROVEN)),
        (400, refused(("events[0].user_data", "INVALID_ENUM_VALUE")), (OK, OK, FAILED, FAILED)),
    ],
)
async def test_check_tells_token_account_and_action_apart(status: int, body: object, told: tuple[FindingStatus, ...]) -> None:
    """Each has another person who mends it; and each failure says how."""
    found = await findings(Google((status, body)))

    assert [one.subject for one in found] == ["token", "account", "target:qualified_lead", "target:closed_revenue"]
    assert tuple(one.status for one in found) == told
    assert all(one.mend for one in found if one.status is FAILED)


async def test_check_names_the_setting_that_is_wrong() -> None:
    """Waiting mends no wrong event source; the finding has to say what does."""
    found = await findings(Google((400, refused(("events[0].event_source", "INVALID_ENUM_VALUE")))))

    (account,) = [one for one in found if one.subject == "account"]
    assert "event_source" in account.mend


async def test_check_of_one_wrong_action_among_good_ones() -> None:
    """The finding has to name the milestone that is wrong."""
    wrong = refused(("destinations[0]", "INVALID_CONVERSION_ACTION_ID"))
    google = Google((400, wrong), (200, {}))
    no_action = {**TARGETS, "opportunity": Target.of({"conversion_action": "won"})}

    told = await statuses(google, targets=no_action)

    assert told == {
        "token": OK,
        "account": OK,
        "target:qualified_lead": FAILED,
        "target:closed_revenue": OK,
        "target:opportunity": FAILED,
    }


async def test_check_without_a_token() -> None:
    """Google is not asked where there is nothing to ask with."""
    google = Google((200, {}))

    told = await statuses(google, has_token=False)

    assert (told["token"], told["account"], told["target:qualified_lead"]) == (FAILED, UNPROVEN, UNPROVEN)
    assert google.requests == []


async def test_check_of_an_outage_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check raises nothing, and an outage does not end a pause as a clean check would."""

    async def at_once(seconds: float) -> None:
        """Reads are tried four times; the test need not wait."""

    google = Google((503, {}))
    async with connected(google) as destination:
        destination._http._sleep = at_once
        told = {one.subject: one.status for one in await destination.check(TARGETS)}

    assert told["account"] is FAILED
    assert told["target:closed_revenue"] is UNPROVEN


async def test_check_without_targets_claims_nothing() -> None:
    """A static token was never shown to Google."""
    assert await statuses(Google((200, {})), targets={}) == {"token": UNPROVEN, "account": UNPROVEN}


class Memory:
    """A token store for one test."""

    def __init__(self) -> None:
        self.tokens: Tokens | None = None

    async def load(self) -> Tokens | None:
        return self.tokens

    async def save(self, expected_version: int, tokens: Tokens) -> Tokens | None:
        self.tokens = Tokens(tokens.access_token, tokens.expires_at, tokens.refresh_token, expected_version + 1)
        return self.tokens


@asynccontextmanager
async def alone() -> AsyncIterator[None]:
    yield


async def test_a_service_account_signs_for_google() -> None:
    """Scope, audience and lifetime are what Google checks; a wrong one locks the customer out."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    file = json.dumps({"client_email": "sa@example.com", "private_key": pem, "private_key_id": "k1"})
    settings = GoogleSettings.from_mapping(
        {"account_id": "4812093377", "service_account_json": file, "token_url": "http://token.test/t"}
    )
    google = Google((200, {"access_token": "fresh", "expires_in": 3599}), (200, {"requestId": "r"}))

    async with httpx.AsyncClient(transport=httpx.MockTransport(google)) as client:
        auth = auth_from(settings, client, Memory(), alone, lambda: NOW)
        await GoogleDestination(client, settings, auth, lambda: NOW).upload([row()], NOW)

    form = parse_qs(google.requests[0].content.decode())
    options: Options = {"verify_exp": False, "verify_iat": False}
    audience = "https://oauth2.googleapis.com/token"
    claims = jwt.decode(form["assertion"][0], key.public_key(), ["RS256"], options=options, audience=audience)
    assert str(google.requests[0].url) == "http://token.test/t"
    assert (claims["iss"], claims["scope"]) == (
        "sa@example.com",
        "https://www.googleapis.com/auth/datamanager https://www.googleapis.com/auth/adwords",
    )
    assert claims["exp"] - claims["iat"] <= timedelta(hours=1).total_seconds()
    assert google.requests[1].headers["authorization"] == "Bearer fresh"
    assert pem not in repr(settings)


async def test_a_refresh_token_is_exchanged() -> None:
    """A consent that was taken back asks a human, and drops nothing."""
    oauth = {"client_id": "c", "client_secret": "s", "refresh_token": "r"}
    settings = GoogleSettings.from_mapping({"account_id": "4812093377", **oauth})
    google = Google((400, {"error": "invalid_grant"}))

    async with httpx.AsyncClient(transport=httpx.MockTransport(google)) as client:
        auth = auth_from(settings, client, Memory(), alone, lambda: NOW)
        with pytest.raises(AuthenticationFailed):
            await GoogleDestination(client, settings, auth, lambda: NOW).upload([row()], NOW)

    form = parse_qs(google.requests[0].content.decode())
    assert form == {"grant_type": ["refresh_token"], **{name: [value] for name, value in oauth.items()}}


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"access_token": "secret-1"}, "account_id"),
        ({"account_id": "4812093377"}, "service_account_json"),
        ({"account_id": "4812093377", "client_id": "c", "client_secret": "secret-1"}, "refresh_token"),
        ({"account_id": "4812093377", "access_token": "secret-1", "refresh_token": "r"}, "one kind"),
        ({"account_id": "4812093377", "access_token": "secret-1", "acount": "1"}, "acount"),
        ({"account_id": "customers/1", "access_token": "secret-1"}, "account_id"),
        ({"account_id": "4812093377", "service_account_json": "secret-1"}, "service_account_json"),
        ({"account_id": "4812093377", "access_token": "secret-1", "event_source": "CRM"}, "event_source"),
    ],
)
def test_bad_settings_name_their_key_and_no_value(values: dict[str, str], word: str) -> None:
    """The message is shown to whoever applies the file, and logged."""
    with pytest.raises(ValueError, match=word) as caught:
        GoogleSettings.from_mapping(values)

    assert "secret-1" not in str(caught.value)


def test_what_decides_of_a_row_is_among_the_limits() -> None:
    """The outbox chooses by these masks before the payload is built."""
    limits = GoogleDestination.limits

    assert limits.click_identifiers == {Identifier.GCLID, Identifier.GBRAID, Identifier.WBRAID}
    assert all(needed <= limits.identifiers for needed in limits.sufficient)
    assert (limits.rows, limits.targets, limits.restates, limits.retracts) == (2000, 10, True, True)


def test_the_readme_tells_of_every_setting() -> None:
    """A setting that no page names is found by nobody who needs it."""
    page = (Path(inspect.getfile(GoogleDestination)).parent / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]

    assert set(KNOWN_SETTINGS) <= set(re.findall(r"`(\w+)`", " ".join(rows)))
