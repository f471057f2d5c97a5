"""Prints how many events a second each connector turns into a body, and reads the results of; nothing is asserted here."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from connectors.ads.google.adjustments import build_retractions, read_adjusted
from connectors.ads.google.payload import build as build_google
from connectors.ads.google.settings import GoogleSettings
from connectors.ads.google.status import read_verdict
from connectors.ads.linkedin.payload import build as build_linkedin
from connectors.ads.linkedin.refusals import judge_element, read_statuses
from connectors.ads.meta.payload import build as build_meta
from connectors.ads.meta.settings import MetaSettings
from connectors.ads.microsoft.payload import build as build_microsoft
from connectors.ads.microsoft.payload import build_adjustments
from connectors.ads.microsoft.refusals import read_partial
from connectors.ads.microsoft.settings import MicrosoftSettings
from connectors.ads.tiktok.payload import build as build_tiktok
from connectors.ads.tiktok.refusals import read_answer, results_of
from connectors.ads.tiktok.settings import TikTokSettings
from connectors.contract.conversions import DeliveryKind, UploadRow
from connectors.contract.results import Accepted
from connectors.http.reply import Reply
from connectors.upload.draft import Draft
from tests.contract.ad_reading import connected, one_form, row
from tests.contract.ad_stage import AdStage
from tests.contract.ad_stages import AD_STAGES
from tests.contract.crm_stage import Clock

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECONDS = 1.0
OWN: Mapping[str, str] = {"access_token": "x"}
GOOGLE = GoogleSettings.from_mapping({"account_id": "4812093377", **OWN})
META = MetaSettings.from_mapping({"dataset_id": "1234567890", **OWN})
MICROSOFT = MicrosoftSettings.from_mapping({"account_id": "180001234", "customer_id": "17000999", "developer_token": "x", **OWN})
TIKTOK = TikTokSettings.from_mapping({"advertiser_id": "7000111122223333", "crm_event_set_id": "7398001122334455667", **OWN})

Build = Callable[[Sequence[UploadRow]], Draft]
Read = Callable[[bytes, Draft], object]


def reply_of(body: bytes) -> Reply:
    return Reply(200, {}, orjson.loads(body))


def google_reply(count: int) -> Any:
    failed = {"recordCount": str(count // 10), "reason": "PROCESSING_ERROR_REASON_CLICK_NOT_FOUND"}
    counts = [{**failed, "recordIndices": [str(place) for place in range(0, count, 10)]}]
    destination = {"reference": "action-7302219941"}
    entry = {"destination": destination, "requestStatus": "PARTIAL_SUCCESS", "errorInfo": {"errorCounts": counts}}
    return {"requestStatusPerDestination": [entry]}


def adjusted_reply(count: int) -> Any:
    def error(place: int) -> Any:
        elements = [{"fieldName": "conversion_adjustments", "index": place}]
        code = {"conversionAdjustmentUploadError": "CONVERSION_EXPIRED"}
        return {"errorCode": code, "message": "m", "location": {"fieldPathElements": elements}}

    details = [{"errors": [error(place) for place in range(0, count, 10)]}]
    return {"partialFailureError": {"code": 3, "details": details}, "results": [{"orderId": "x"}] * count}


def microsoft_reply(count: int) -> Any:
    error = {"Type": "BatchError", "Code": 5610, "ErrorCode": "OfflineConversionValueInvalid", "Message": "m"}
    return {"PartialErrors": [{**error, "Index": place} for place in range(0, count, 10)]}


CASES: Sequence[tuple[str, str, DeliveryKind, Build, Callable[[int], Any], Read]] = (
    (
        "google: upload, late verdict",
        "google",
        DeliveryKind.UPLOAD,
        lambda rows: build_google(rows, GOOGLE, NOW),
        google_reply,
        lambda body, draft: read_verdict(orjson.loads(body), sent=len(draft.rows), now=NOW),
    ),
    (
        "google: retraction",
        "google",
        DeliveryKind.RETRACT,
        lambda rows: build_retractions(rows, GOOGLE, NOW),
        adjusted_reply,
        lambda body, draft: read_adjusted(reply_of(body), draft, [NOW - timedelta(days=3)] * len(draft.rows), NOW),
    ),
    (
        "linkedin: upload",
        "linkedin",
        DeliveryKind.UPLOAD,
        lambda rows: build_linkedin(rows, NOW),
        lambda count: {"elements": [{"status": 201}] * count},
        lambda body, draft: [judge_element(one, "1") for one in read_statuses(reply_of(body), len(draft.rows))],
    ),
    (
        "meta: upload",
        "meta",
        DeliveryKind.UPLOAD,
        lambda rows: build_meta(rows, META, NOW),
        lambda count: {"events_received": count, "messages": [], "fbtrace_id": "x"},
        lambda body, draft: reply_of(body).json_object() and draft.results([Accepted()] * len(draft.rows)),
    ),
    (
        "microsoft: upload",
        "microsoft",
        DeliveryKind.UPLOAD,
        lambda rows: build_microsoft(rows, MICROSOFT, NOW),
        microsoft_reply,
        lambda body, draft: read_partial(reply_of(body), draft, NOW),
    ),
    (
        "microsoft: retraction",
        "microsoft",
        DeliveryKind.RETRACT,
        lambda rows: build_adjustments(rows, MICROSOFT, NOW),
        microsoft_reply,
        lambda body, draft: read_partial(reply_of(body), draft, NOW),
    ),
    (
        "tiktok: upload",
        "tiktok",
        DeliveryKind.UPLOAD,
        lambda rows: build_tiktok(rows, TIKTOK, NOW),
        lambda _count: {"code": 0, "message": "OK", "data": {}},
        lambda body, draft: results_of(read_answer(reply_of(body)), reply_of(body), draft),
    ),
)


async def test_events_a_second_for_building_and_reading() -> None:
    """At the maximum batch of each platform; a tenth of the rows fails where a reply can say so."""
    lines = [f"{'':30} {'rows':>6} {'kB':>6} {'built a second':>16} {'read a second':>16}"]
    for title, kind, delivery, build, made_reply, read in CASES:
        stage = AD_STAGES[kind](Clock(NOW))
        rows = await _rows(stage, delivery)
        draft = build(rows)
        count = len(draft.rows)
        assert count == len(rows)
        body, answer = orjson.dumps(draft.body), orjson.dumps(made_reply(count))
        built = _rate(lambda build=build, rows=rows: orjson.dumps(build(rows).body), count)  # type: ignore[misc]  # bound now
        was_read = _rate(lambda read=read, answer=answer, draft=draft: read(answer, draft), count)  # type: ignore[misc]  # as above
        lines.append(f"{title:30} {count:6,} {len(body) / 1000:6,.0f} {built:16,.0f} {was_read:16,.0f}")
    sys.stdout.write("\n" + "\n".join(lines) + "\n")


async def _rows(stage: AdStage, kind: DeliveryKind) -> list[UploadRow]:
    """As many as one request holds, all of one form, each of another person."""
    async with connected(stage) as destination:
        most = destination.limits.rows
        given = [row(stage, number + 1, kind=kind, occurred_at=NOW - timedelta(days=3)) for number in range(most)]
        return one_form(stage, destination, given)


def _rate(work: Callable[[], object], count: int) -> float:
    """Events a second, over a second."""
    started, rounds = time.perf_counter(), 0
    while (spent := time.perf_counter() - started) < SECONDS:
        work()
        rounds += 1
    return rounds * count / spent
