import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from connectors.contract.errors import (
    AuthenticationFailed,
    ConnectorError,
    Effect,
    RateLimited,
    RequestRefused,
    Unavailable,
    UnexpectedReply,
)
from connectors.http.auth import Auth, StaticToken
from connectors.http.client import Classify, Hooks, HttpClient, Reply, RequestSeen, path_template

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Handler = Callable[[httpx.Request], httpx.Response]


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def clock(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class Renewing:
    """An Auth whose first token is stale."""

    def __init__(self) -> None:
        self.token = "old"
        self.refused: list[Mapping[str, str]] = []

    async def headers(self) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    async def refresh(self, used: Mapping[str, str]) -> bool:
        self.refused.append(used)
        self.token = "new"
        return True


class Vendor:
    """Answers in turn (the last answer for ever) and remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception | Handler) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)


def client_of(
    vendor: Vendor,
    time: FakeTime | None = None,
    *,
    auth: Auth | None = None,
    classify: Classify | None = None,
    hooks: Hooks | None = None,
    is_stale_token: Callable[[Reply], bool] | None = None,
) -> HttpClient:
    time = time or FakeTime()
    return HttpClient(
        httpx.AsyncClient(transport=httpx.MockTransport(vendor)),
        vendor="Acme",
        base_url="https://api.acme.example/root/",
        auth=auth or StaticToken("pat-na1-secret"),
        classify=classify,
        hooks=hooks or Hooks(),
        clock=time.clock,
        sleep=time.sleep,
        is_stale_token=is_stale_token,
    )


async def test_a_request_carries_url_auth_body_and_a_timeout_for_every_phase() -> None:
    """A phase without a timeout can hang a drainer for ever."""
    vendor = Vendor(httpx.Response(200, json={"ok": True}, headers={"Date": "Sun, 22 Nov 2026 11:59:58 GMT"}))

    reply = await client_of(vendor).send("POST", "/v1/x", json={"a": 1}, params={"q": "b c"}, headers={"X-V": "7"})

    request = vendor.requests[0]
    assert str(request.url) == "https://api.acme.example/root/v1/x?q=b+c"
    assert request.content == b'{"a":1}'
    assert request.headers["authorization"] == "Bearer pat-na1-secret"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-v"] == "7"
    assert set(request.extensions["timeout"]) == {"connect", "read", "write", "pool"}
    assert all(request.extensions["timeout"].values())
    assert reply.json_object() == {"ok": True}
    assert reply.date == NOW - timedelta(seconds=2)


async def test_a_query_built_by_hand_reaches_the_vendor_unchanged() -> None:
    """LinkedIn's Rest.li wants literal parentheses beside encoded colons."""
    vendor = Vendor(httpx.Response(200, json={}))

    await client_of(vendor).read("GET", "/rest/adAnalytics?accounts=List(urn%3Ali%3AsponsoredAccount%3A5)&d=(year:2026)")

    assert vendor.requests[0].url.raw_path.endswith(b"?accounts=List(urn%3Ali%3AsponsoredAccount%3A5)&d=(year:2026)")


async def test_a_form_goes_out_url_encoded() -> None:
    """Some vendors take searches as a form."""
    vendor = Vendor(httpx.Response(200, json={}))

    await client_of(vendor).read("POST", "/q", form={"soql": "a=b&c"})

    assert vendor.requests[0].content == b"soql=a%3Db%26c"
    assert vendor.requests[0].headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("failure", "effect"),
    [
        (httpx.ConnectError("no route"), Effect.NONE),
        (httpx.ConnectTimeout("slow"), Effect.NONE),
        (httpx.PoolTimeout("busy"), Effect.NONE),
        (httpx.ReadTimeout("slow"), Effect.UNKNOWN),
        (httpx.WriteTimeout("slow"), Effect.UNKNOWN),
        (httpx.ReadError("reset"), Effect.UNKNOWN),
        (httpx.WriteError("reset"), Effect.UNKNOWN),
        (httpx.RemoteProtocolError("closed"), Effect.UNKNOWN),
    ],
)
async def test_a_broken_upload_says_whether_it_may_have_had_an_effect_and_is_not_repeated(
    failure: Exception, effect: Effect
) -> None:
    """Effect unknown decides whether a conversion may be sent again."""
    vendor = Vendor(failure)

    with pytest.raises(Unavailable) as caught:
        await client_of(vendor).send("POST", "/events", json={})

    assert caught.value.effect is effect
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "effect"),
    [
        (httpx.Response(403, json={"message": "no"}), AuthenticationFailed, Effect.NONE),
        (httpx.Response(429), RateLimited, Effect.NONE),
        (httpx.Response(408), Unavailable, Effect.UNKNOWN),
        (httpx.Response(500, text="<html>oops</html>"), Unavailable, Effect.UNKNOWN),
        (httpx.Response(503), Unavailable, Effect.UNKNOWN),
        (httpx.Response(302, headers={"location": "https://evil.example/"}), UnexpectedReply, Effect.UNKNOWN),
        (httpx.Response(200, text="<html>maintenance</html>"), UnexpectedReply, Effect.UNKNOWN),
    ],
)
async def test_the_general_reading_of_an_upload_s_reply(
    answer: httpx.Response, kind: type[ConnectorError], effect: Effect
) -> None:
    """Every vendor's outage must pause the same way."""
    vendor = Vendor(answer)

    with pytest.raises(kind) as caught:
        await client_of(vendor).send("POST", "/events", json={})

    assert caught.value.effect is effect
    assert len(vendor.requests) == 1


async def test_other_refusals_come_back_as_a_reply_with_known_effect() -> None:
    """A 400 with field violations is the vendor code's to read, row by row."""
    vendor = Vendor(httpx.Response(400, json=[{"index": 1}]))

    reply = await client_of(vendor).send("POST", "/events", json={})

    assert (reply.status, reply.body) == (400, [{"index": 1}])
    with pytest.raises(UnexpectedReply) as caught:
        reply.json_object()
    assert caught.value.effect is Effect.NONE


async def test_an_empty_body_is_none_and_no_json_object() -> None:
    """LinkedIn answers a single event with an empty 201, which others must not take for a result."""
    reply = await client_of(Vendor(httpx.Response(201))).send("POST", "/events", json={})

    assert reply.body is None
    with pytest.raises(UnexpectedReply) as caught:
        reply.json_object()
    assert caught.value.effect is Effect.UNKNOWN


async def test_the_vendor_s_own_reading_comes_first() -> None:
    """A 403 that means a daily quota must not be taken for lost credentials."""

    def classify(reply: Reply) -> ConnectorError | None:
        return RateLimited("quota") if reply.status == 403 else None

    with pytest.raises(RateLimited):
        await client_of(Vendor(httpx.Response(403)), classify=classify).send("POST", "/x", json={})


async def test_a_refused_token_is_renewed_and_the_upload_sent_once_more() -> None:
    """A token may run out between two uploads."""
    vendor = Vendor(httpx.Response(401), httpx.Response(200, json={"n": 1}))
    auth = Renewing()

    reply = await client_of(vendor, auth=auth).send("POST", "/events", json={})

    assert reply.json_object() == {"n": 1}
    assert [request.headers["authorization"] for request in vendor.requests] == ["Bearer old", "Bearer new"]
    assert auth.refused == [{"authorization": "Bearer old"}]


async def test_a_token_refused_twice_fails_and_a_static_one_is_not_repeated() -> None:
    """Hammering with a dead token gets an account blocked."""
    twice, once = Vendor(httpx.Response(401)), Vendor(httpx.Response(401))

    with pytest.raises(AuthenticationFailed):
        await client_of(twice, auth=Renewing()).send("POST", "/events", json={})
    with pytest.raises(AuthenticationFailed):
        await client_of(once).read("GET", "/events")

    assert (len(twice.requests), len(once.requests)) == (2, 1)


async def test_a_vendor_may_say_expired_without_a_401() -> None:
    """Microsoft's fault for an expired token has a code, but no documented status."""
    vendor = Vendor(httpx.Response(400, json={"Code": 109}), httpx.Response(200, json={}))

    reply = await client_of(vendor, auth=Renewing(), is_stale_token=lambda reply: reply.status == 400).read("GET", "/x")

    assert reply.status == 200


async def test_a_read_is_tried_four_times_with_growing_pauses_then_gives_the_last_error() -> None:
    """A blip must not end a poll; an outage must end it soon."""
    vendor, time = Vendor(httpx.ReadTimeout("slow"), httpx.Response(500), httpx.Response(502)), FakeTime()

    with pytest.raises(Unavailable) as caught:
        await client_of(vendor, time).read("GET", "/contacts")

    assert len(vendor.requests) == 4
    assert caught.value.status == 502
    assert len(time.slept) == 3
    assert time.slept[0] < time.slept[2]


async def test_a_read_honours_retry_after_where_it_fits() -> None:
    """Coming back too early costs another refusal."""
    vendor = Vendor(httpx.Response(429, headers={"retry-after": "9"}), httpx.Response(200, json={}))
    time = FakeTime()

    await client_of(vendor, time).read("GET", "/contacts")

    assert 9 <= time.slept[0] <= 11


@pytest.mark.parametrize("header", ["120", "Sun, 22 Nov 2026 12:02:00 GMT"])
async def test_a_retry_after_beyond_the_budget_goes_to_the_caller(header: str) -> None:
    """The scheduler waits better than a held connection."""
    vendor, time = Vendor(httpx.Response(429, headers={"retry-after": header})), FakeTime()

    with pytest.raises(RateLimited) as caught:
        await client_of(vendor, time).read("GET", "/contacts")

    assert caught.value.retry_after == timedelta(seconds=120)
    assert len(vendor.requests) == 1
    assert time.slept == []


@pytest.mark.parametrize("header", ["soon", "nan", "inf", "1e400", ""])
async def test_an_unusable_retry_after_is_no_retry_after(header: str) -> None:
    """A vendor's garbage must not become an OverflowError."""
    with pytest.raises(RateLimited) as caught:
        await client_of(Vendor(httpx.Response(429, headers={"retry-after": header}))).send("POST", "/x")

    assert caught.value.retry_after is None


async def test_refusals_are_not_repeated_by_a_read() -> None:
    """Only outages and throttling get better by waiting."""
    vendor = Vendor(httpx.Response(403))

    with pytest.raises(AuthenticationFailed):
        await client_of(vendor).read("GET", "/contacts")

    assert len(vendor.requests) == 1


async def test_messages_hold_no_query_no_body_no_token_and_no_person() -> None:
    """Error messages are stored and logged (P5)."""
    answer = httpx.Response(
        500, json={"error": {"message": "Invalid value jane@example.com for 4f5a token=sesame123", "code": 7}}
    )

    with pytest.raises(Unavailable) as caught:
        await client_of(Vendor(answer)).send(
            "POST", "/v3/contacts/jane@example.com/9?access_token=EAAbcdefgh", json={"p": "+14155550137"}
        )

    text = str(caught.value)
    assert text == "Acme POST /v3/contacts/{id}/{id}: answered 500: Invalid value [email] for 4f5a token=[secret]"
    assert caught.value.code == "7"


@pytest.mark.parametrize("token", ["naïve", "line\nbreak", "\udcff"])
async def test_a_token_that_no_header_can_hold_is_refused_without_being_shown(token: str) -> None:
    """A mistyped secret must not end up in a traceback."""
    vendor = Vendor(httpx.Response(200, json={}))

    with pytest.raises(RequestRefused) as caught:
        await client_of(vendor, auth=StaticToken(token, header="x-api-token", scheme="")).send("POST", "/x", json={})

    assert token not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("json", [{"name": "\ud800"}, {"when": object()}])
async def test_what_cannot_be_written_as_json_is_refused(json: object) -> None:
    """A lone surrogate from a CRM field must not escape as a TypeError."""
    with pytest.raises(RequestRefused):
        await client_of(Vendor(httpx.Response(200))).send("POST", "/x", json=json)


async def test_hooks_see_every_request_with_its_outcome() -> None:
    """Metrics come from hooks; ids in paths would make a metric for each person."""
    seen: list[RequestSeen] = []
    vendor = Vendor(httpx.Response(503), httpx.ReadTimeout("slow"), httpx.Response(404, json={}))

    await client_of(vendor, hooks=Hooks(on_request=seen.append)).read("GET", "/v3/contacts/17?x=1", budget="search")

    assert [(event.status, event.outcome) for event in seen] == [
        (503, "unavailable"),
        (None, "unavailable"),
        (404, "rejected"),
    ]
    assert {(event.vendor, event.path, event.budget) for event in seen} == {("Acme", "/v3/contacts/{id}", "search")}


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v26/customers/1234567890:uploadConversionAdjustments", "/v26/customers/{id}:uploadConversionAdjustments"),
        ("/v1/events:ingest", "/v1/events:ingest"),
        ("/crm/objects/2026-03/contacts/88121?properties=email", "/crm/objects/2026-03/contacts/{id}"),
        ("/rest/conversions/urn%3Ali%3A5", "/rest/conversions/{id}"),
        ("/open_api/v1.3/event/track/", "/open_api/v1.3/event/track/"),
        ("/contacts/a:b@c.example", "/contacts/{id}"),
    ],
)
def test_a_path_template_keeps_words_and_versions(path: str, template: str) -> None:
    """Few, speaking metric labels, and nothing personal."""
    assert path_template(path) == template


async def test_a_path_cannot_name_another_host() -> None:
    """A paging link from a reply must not carry our token elsewhere."""
    with pytest.raises(ValueError, match="slash"):
        await client_of(Vendor(httpx.Response(200))).read("GET", "https://evil.example/next")


def test_a_reply_shows_no_body_and_no_headers() -> None:
    """Replies hold personal data."""
    reply = Reply(200, {"set-cookie": "secret"}, {"email": "jane@example.com"})

    assert "jane" not in repr(reply)
    assert "secret" not in repr(reply)
