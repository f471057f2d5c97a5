"""Upload, usage, check and credentials over the wire."""

import asyncio
import hashlib
import hmac
import inspect
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors import registry
from connectors.ads.meta.destination import MetaDestination
from connectors.ads.meta.settings import KNOWN_SETTINGS, MetaSettings
from connectors.contract.conversions import Identifier, Target
from connectors.contract.errors import Effect, RateLimited, Unavailable, UnexpectedReply
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.results import Accepted, Rejected
from connectors.contract.tokens import Tokens
from connectors.http.client import Hooks
from tests.wire.meta.meta_rig import DATASET, NOW, REQUIRED, SETTINGS, Meta, connected, error, received, row, settings_of

OK, FAILED, UNPROVEN = FindingStatus.OK, FindingStatus.FAILED, FindingStatus.UNPROVEN
TARGETS = {"lead": Target.of({"event_name": "Lead"}), "closed_revenue": Target.of({"event_name": "Purchase"})}
FIELDS = {"id": DATASET, "name": "CRM", "is_crm": True, "is_unavailable": False}
PROOF = hmac.new(b"hush", b"x", hashlib.sha256).hexdigest()


async def test_an_upload_is_one_request_and_one_result_for_each_row() -> None:
    """A row that was kept out takes no place among the others' results."""
    meta = Meta((200, received(2)))

    async with connected(meta) as destination:
        results = await destination.upload([row(1), row(2, identifiers={}), row(3)], NOW)

    assert [type(one) for one in results] == [Accepted, Rejected, Accepted]
    (request,) = meta.requests
    assert (request.method, str(request.url)) == ("POST", f"https://graph.facebook.com/v26.0/{DATASET}/events")
    assert request.headers["authorization"] == "Bearer x"
    assert set(meta.bodies[0]) == {"data"}


async def test_nothing_valid_sends_nothing() -> None:
    """An empty request would be refused as a whole."""
    meta = Meta((200, received(1)))

    async with connected(meta) as destination:
        assert [type(one) for one in await destination.upload([row(identifiers={})], NOW)] == [Rejected]
        assert await destination.upload([], NOW) == []

    assert meta.requests == []


@pytest.mark.parametrize("body", [received(1), received(3), received(0), {}, {"events_received": True}, [], "ok"])
async def test_200_is_not_delivered(body: object) -> None:
    """Meta has been seen to drop events with only the count to tell, and never says which."""
    async with connected(Meta((200, body))) as destination:
        with pytest.raises(UnexpectedReply) as caught:
            await destination.upload([row(1), row(2)], NOW)

    assert caught.value.effect is Effect.UNKNOWN


async def test_messages_of_meta_go_nowhere() -> None:
    """They are free texts that can echo customer data."""
    async with connected(Meta((200, {**received(1), "messages": ["jane@example.com"]}))) as destination:
        assert await destination.upload([row()], NOW) == [Accepted()]


async def test_an_upload_is_sent_once() -> None:
    """Retrying is the outbox's matter."""
    meta = Meta(httpx.ReadTimeout("slow"))

    async with connected(meta) as destination:
        with pytest.raises(Unavailable) as caught:
            await destination.upload([row()], NOW)

    assert caught.value.effect is Effect.UNKNOWN
    assert len(meta.requests) == 1


@pytest.mark.parametrize(
    ("settings", "header", "body", "query"),
    [
        ({}, "Bearer x", {}, {}),
        ({"app_secret": "hush"}, "Bearer x", {"appsecret_proof": PROOF}, {"appsecret_proof": PROOF}),
        ({"token_in": "parameter"}, None, {"access_token": "x"}, {"access_token": "x"}),
    ],
)
async def test_where_the_credentials_stand(
    settings: dict[str, str], header: str | None, body: Mapping[str, str], query: Mapping[str, str]
) -> None:
    """An upload's address holds no token: addresses end up in logs. A read has nothing but its address."""
    meta = Meta((200, received(1)), (200, FIELDS))

    async with connected(meta, settings_of(**settings)) as destination:
        await destination.upload([row()], NOW)
        await destination.check({})

    upload, read = meta.requests
    assert [one.headers.get("authorization") for one in (upload, read)] == [header, header]
    assert {name: value for name, value in meta.bodies[0].items() if name != "data"} == body
    assert upload.url.query == b""
    assert {name: value for name, value in read.url.params.items() if name != "fields"} == query


def usage(percent: int, minutes: int = 0) -> dict[str, str]:
    rows = [{"type": "ads_management", "call_count": percent, "estimated_time_to_regain_access": minutes}]
    return {"X-Business-Use-Case-Usage": json.dumps({"1029384756": rows})}


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        (usage(79), None),
        (usage(80), timedelta(minutes=5)),
        (usage(100, 17), timedelta(minutes=17)),
        ({"X-App-Usage": '{"call_count": 10, "total_time": 85, "total_cputime": 3}'}, timedelta(minutes=5)),
        ({"X-App-Usage": '{"call_count": 28, "total_time": 25, "total_cputime": 25}'}, None),
        ({"X-Ad-Account-Usage": '{"acc_id_util_pct": 91.5}'}, timedelta(minutes=5)),
        ({"X-App-Usage": "{", "X-Business-Use-Case-Usage": '{"1": {}}'}, None),
        ({}, None),
    ],
)
async def test_the_allowance_is_left_alone_before_meta_throttles(headers: dict[str, str], pause: timedelta | None) -> None:
    """A throttled account bars the advertiser's other tools too; what waits here loses nothing."""
    meta = Meta((200, received(1)), headers=headers)

    async with connected(meta) as destination:
        assert await destination.upload([row(1)], NOW) == [Accepted()]
        if pause is None:
            assert await destination.upload([row(2)], NOW) == [Accepted()]
            return
        with pytest.raises(RateLimited) as caught:
            await destination.upload([row(2)], NOW)
        assert (len(meta.requests), caught.value.retry_after) == (1, pause)
        meta.headers = None
        assert await destination.upload([row(2)], NOW + pause) == [Accepted()]


async def findings(meta: Meta, settings: MetaSettings = SETTINGS, targets: Mapping[str, Target] = TARGETS) -> list[Finding]:
    async with connected(meta, settings) as destination:
        return list(await destination.check(targets))


async def statuses(meta: Meta, settings: MetaSettings = SETTINGS) -> dict[str, FindingStatus]:
    return {one.subject: one.status for one in await findings(meta, settings, {})}


async def test_check_sends_no_event_and_claims_no_more_than_it_saw() -> None:
    """Meta has no rehearsal: that events may be sent, under which name, is proven by the first real one."""
    meta = Meta((200, FIELDS))

    found = await findings(meta)

    assert [request.method for request in meta.requests] == ["GET"]
    assert {one.subject: one.status for one in found} == {
        "token": OK,
        "app": OK,
        "account": OK,
        "permission": UNPROVEN,
        "target:lead": UNPROVEN,
        "target:closed_revenue": UNPROVEN,
    }


NO_DATASET, NO_RIGHT = (400, error(100, 33)), (403, error(200))


@pytest.mark.parametrize(
    ("answers", "token", "app", "account", "permission"),
    [
        ([(401, error(190))], FAILED, UNPROVEN, UNPROVEN, UNPROVEN),
        ([(400, error(190, 463))], FAILED, UNPROVEN, UNPROVEN, UNPROVEN),
        ([(400, error(104))], UNPROVEN, FAILED, UNPROVEN, UNPROVEN),
        ([NO_DATASET, NO_DATASET], OK, OK, FAILED, UNPROVEN),
        ([NO_DATASET, NO_RIGHT], OK, OK, UNPROVEN, FAILED),
        ([NO_RIGHT, NO_RIGHT], OK, OK, UNPROVEN, FAILED),
        ([NO_RIGHT, NO_DATASET], OK, OK, FAILED, UNPROVEN),
        ([NO_DATASET, (200, {"web": []})], OK, OK, OK, UNPROVEN),
        ([NO_RIGHT, (200, {"web": []})], OK, OK, OK, UNPROVEN),
        ([NO_RIGHT, (400, error(100))], OK, OK, UNPROVEN, UNPROVEN),
        ([NO_DATASET, (400, error(100))], OK, OK, UNPROVEN, UNPROVEN),
        ([(200, {**FIELDS, "is_unavailable": True})], OK, OK, FAILED, UNPROVEN),
        ([(400, error(2500))], UNPROVEN, UNPROVEN, FAILED, UNPROVEN),
    ],
)
async def test_check_tells_token_app_dataset_and_right_apart(
    answers: list[tuple[int, Any]],
    token: FindingStatus,
    app: FindingStatus,
    account: FindingStatus,
    permission: FindingStatus,
) -> None:
    """Each has another person who mends it; a token for sending only may not read its dataset and is no failure."""
    found = await findings(Meta(*answers), targets={})

    told = {one.subject: one.status for one in found}
    assert told == {"token": token, "app": app, "account": account, "permission": permission}
    assert all(one.mend for one in found if one.status is FAILED)


async def test_check_warns_of_a_dataset_without_the_crm_integration() -> None:
    """Events are taken there and conversion leads count none of them."""
    without = (200, {**FIELDS, "is_crm": False})

    assert (await statuses(Meta(without)))["crm"] is UNPROVEN
    assert "crm" not in await statuses(Meta((200, FIELDS)))


async def test_check_warns_of_a_dataset_that_takes_no_offline_events() -> None:
    """Leads of one's own site go as such, and one of them would sink its batch."""
    without = (200, {**FIELDS, "is_consolidated_container": False})

    assert (await statuses(Meta(without)))["offline"] is UNPROVEN
    assert "offline" not in await statuses(Meta(without), settings_of(without_lead_id="other"))


async def test_check_of_a_milestone_without_a_name() -> None:
    """The finding has to name the milestone that is wrong."""
    found = await findings(Meta((200, FIELDS)), targets={"lead": Target.of({}), "won": Target.of({"event_name": "Won"})})

    assert {one.subject: one.status for one in found if one.subject.startswith("target:")} == {
        "target:lead": FAILED,
        "target:won": UNPROVEN,
    }


async def test_check_of_an_outage_is_a_finding() -> None:
    """A check raises nothing, and an outage does not end a pause as a clean check would."""

    async def at_once(seconds: float) -> None:
        """Reads are tried four times; the test need not wait."""

    async with connected(Meta((503, {}))) as destination:
        destination._http._sleep = at_once
        told = {one.subject: one.status for one in await destination.check({})}

    assert (told["token"], told["account"]) == (UNPROVEN, FAILED)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"access_token": "secret-1"}, "dataset_id"),
        ({"dataset_id": DATASET}, "access_token"),
        ({**REQUIRED, "pixel_id": "secret-1"}, "pixel_id"),
        ({**REQUIRED, "dataset_id": "act_secret-1"}, "dataset_id"),
        ({**REQUIRED, "api_version": "secret-1"}, "api_version"),
        ({**REQUIRED, "base_url": "secret-1"}, "base_url"),
        ({**REQUIRED, "without_lead_id": "secret-1"}, "without_lead_id"),
        ({**REQUIRED, "token_in": "secret-1"}, "token_in"),
        ({**REQUIRED, "test_event_code": "secret-1 x"}, "test_event_code"),
        ({**REQUIRED, "ad_account_id": "secret-1"}, "ad_account_id"),
        ({**REQUIRED, "data_processing_options": "secret-1"}, "data_processing_options"),
        ({**REQUIRED, "data_processing_options": "LDU"}, "data_processing_options_state"),
        (
            {**REQUIRED, "data_processing_options": "LDU", "data_processing_options_state": "1014"},
            "data_processing_options_state",
        ),
        (
            {
                **REQUIRED,
                "data_processing_options": "LDU",
                "data_processing_options_state": "1000",
                "data_processing_options_country": "0",
            },
            "data_processing_options_country",
        ),
        ({**REQUIRED, "data_processing_options_state": "1000"}, "data_processing_options"),
    ],
)
def test_bad_settings_name_their_key_and_no_value(values: dict[str, str], word: str) -> None:
    """The message is shown to whoever applies the file, and logged."""
    with pytest.raises(ValueError, match=word) as caught:
        MetaSettings.from_mapping(values)

    assert "secret-1" not in str(caught.value)


def test_settings_keep_their_secrets_out_of_sight() -> None:
    """A repr ends up in logs."""
    assert "hush" not in repr(settings_of(access_token="hush-1", app_secret="hush-2"))


def test_what_decides_of_a_row_is_among_the_limits() -> None:
    """The outbox chooses by these masks before the payload is built."""
    limits = MetaDestination.limits

    assert limits.click_identifiers == {Identifier.FBC, Identifier.META_LEAD_ID}
    assert all(needed <= limits.identifiers for needed in limits.sufficient)
    assert (limits.rows, limits.restates, limits.retracts, limits.verdict_after) == (1000, False, False, None)
    assert (limits.age_with_click, limits.age_without_click) == (timedelta(days=7), timedelta(days=62))
    assert limits.dedup_window == timedelta(hours=48)
    assert not hasattr(MetaDestination, "verdict")


async def test_the_registry_opens_it_from_text() -> None:
    """What a config file says is all that there is; a mistake in it is told before anything is opened."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(Meta((200, received(1))))) as client:
        opened = registry.open_destination("meta", REQUIRED, client, Nowhere(), nobody_waits, lambda: NOW, Hooks(), asyncio.sleep)
        assert await opened.upload([row()], NOW) == [Accepted()]

    registry.check_settings("meta", REQUIRED)
    with pytest.raises(ValueError, match="dataset_id"):
        registry.check_settings("meta", {"access_token": "x"})
    with pytest.raises(LookupError):
        registry.check_settings("myspace", {})


def test_the_readme_tells_of_every_setting() -> None:
    """A setting that no page names is found by nobody who needs it."""
    page = (Path(inspect.getfile(MetaDestination)).parent / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]

    assert set(KNOWN_SETTINGS) <= set(re.findall(r"`(\w+)`", " ".join(rows)))


class Nowhere:
    """A token store that nobody needs."""

    async def load(self) -> Tokens | None:
        return None

    async def save(self, expected_version: int, tokens: Tokens) -> Tokens | None:
        return tokens


@asynccontextmanager
async def nobody_waits() -> AsyncIterator[None]:
    yield
