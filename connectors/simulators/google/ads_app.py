"""The Google Ads API of the simulated Google: queries, conversion actions, adjustments. Errors are GoogleAdsFailures."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.simulators.clocked import Clock
from connectors.simulators.google.access import may_use
from connectors.simulators.google.gaql import BadQuery, answer
from connectors.simulators.google.ledger import Key
from connectors.simulators.google.oauth import ADS_SCOPE
from connectors.simulators.google.world import Account, ConversionAction, Counting

if TYPE_CHECKING:
    from connectors.simulators.google.platform import GooglePlatform

VERSIONS = frozenset({"v23", "v24", "v25", "v26"})
YOUNGEST = timedelta(hours=24)
OLDEST = timedelta(days=54)
MOST_ROWS = 2000
LONGEST_WINDOW_DAYS = 90
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d")
ACTION = re.compile(r"customers/(\d+)/conversionActions/(\d+)")
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
FAILURE = "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"


@dataclass(slots=True)
class AdsRefusal(Exception):
    """The whole call is refused."""

    status: int
    canonical: str
    family: str
    code: str

    def body(self) -> dict[str, Any]:
        """As Google writes it."""
        # What stands before the API (scopes, disabled services) knows no families and gives a reason.
        details: list[dict[str, Any]] = [{"@type": ERROR_INFO, "reason": self.code, "domain": "googleapis.com"}]
        if self.family:
            details = [{"@type": FAILURE, "errors": [_error(self.family, self.code)], "requestId": "ads-1"}]
        return {"error": {"code": self.status, "message": "Refused.", "status": self.canonical, "details": details}}


def ads_routes(platform: "GooglePlatform", clock: Clock) -> list[Route]:
    """`/{version}/customers/{account}...`."""

    def door(name: str, serve: Callable[..., Any]) -> Callable[[Request], Any]:
        async def handled(request: Request) -> Response:
            now = clock()
            platform.calls[name] += 1
            try:
                account = _admit(platform, request, now)
                body = json.loads(await request.body())
                return JSONResponse(serve(platform, account, body, now, request))
            except AdsRefusal as refusal:
                return JSONResponse(refusal.body(), refusal.status)
            except (ValueError, KeyError, TypeError):
                return JSONResponse(AdsRefusal(400, "INVALID_ARGUMENT", "requestError", "REQUIRED_FIELD_MISSING").body(), 400)

        return handled

    root = "/{version}/customers/{account:int}"
    return [
        Route(root + "/googleAds:searchStream", door("search", _search), methods=["POST"]),
        Route(root + "/conversionActions:mutate", door("mutate", _mutate), methods=["POST"]),
        Route(root + ":uploadConversionAdjustments", door("adjust", _adjust), methods=["POST"]),
    ]


def _admit(platform: "GooglePlatform", request: Request, now: datetime) -> Account:
    if request.path_params["version"] not in VERSIONS:
        raise AdsRefusal(404, "NOT_FOUND", "requestError", "UNSUPPORTED_VERSION")
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    token = platform.desk.find(value.strip(), now) if kind.lower() == "bearer" else None
    if token is None:
        raise AdsRefusal(401, "UNAUTHENTICATED", "authenticationError", "OAUTH_TOKEN_EXPIRED")
    if ADS_SCOPE not in token.scopes:
        raise AdsRefusal(403, "PERMISSION_DENIED", "", "ACCESS_TOKEN_SCOPE_INSUFFICIENT")
    account = str(request.path_params["account"])
    login = request.headers.get("login-customer-id", account)
    if not may_use(token, platform.world, login, account):
        raise AdsRefusal(403, "PERMISSION_DENIED", "authorizationError", "USER_PERMISSION_DENIED")
    return platform.world.accounts[account]


def _search(platform: "GooglePlatform", account: Account, body: Any, _now: datetime, request: Request) -> Any:
    try:
        rows = answer(platform, account, body["query"], request.path_params["version"])
    except BadQuery as error:
        raise AdsRefusal(400, "INVALID_ARGUMENT", "queryError", str(error)) from None
    # In chunks, as it is streamed.
    return [{"results": rows[place : place + 500], "requestId": "ads-1"} for place in range(0, max(1, len(rows)), 500)]


def _mutate(_platform: "GooglePlatform", account: Account, body: Any, now: datetime, _request: Request) -> Any:
    results: list[dict[str, str]] = []
    errors = []
    for index, operation in enumerate(body["operations"]):
        wanted = operation["create"]
        days = int(wanted.get("clickThroughLookbackWindowDays", "30"))
        refused = _refused_action(account, wanted, days)
        if refused is not None:
            errors.append(_error(*refused, index, "operations"))
            results.append({})
            continue
        made = str(max(map(int, [*account.actions, "7302000000"])) + 1)
        account.actions[made] = ConversionAction(
            made,
            now,
            counting=Counting(wanted["countingType"]),
            click_window=timedelta(days=days),
            name=wanted["name"],
            category=wanted["category"],
        )
        results.append({"resourceName": f"customers/{account.id}/conversionActions/{made}"})
    return _partial(results, errors)


def _refused_action(account: Account, wanted: Any, days: int) -> tuple[str, str] | None:
    if any(wanted["name"] == (action.name or f"Action {action.id}") for action in account.actions.values()):
        return "conversionActionError", "DUPLICATE_NAME"
    if wanted["type"] != "UPLOAD_CLICKS":
        return "conversionActionError", "CREATION_NOT_SUPPORTED"
    if not 1 <= days <= LONGEST_WINDOW_DAYS:
        return "rangeError", "TOO_LOW" if days < 1 else "TOO_HIGH"
    return None


def _adjust(platform: "GooglePlatform", account: Account, body: Any, now: datetime, request: Request) -> Any:
    platform.bodies.append((request.url.path, body))
    items = body["conversionAdjustments"]
    if body.get("partialFailure") is not True:
        raise AdsRefusal(400, "INVALID_ARGUMENT", "partialFailureError", "PARTIAL_FAILURE_MODE_REQUIRED")
    if len(items) > MOST_ROWS:
        raise AdsRefusal(400, "INVALID_ARGUMENT", "conversionAdjustmentUploadError", "TOO_MANY_ADJUSTMENTS_IN_REQUEST")
    is_rehearsal = body.get("validateOnly") is True
    results, errors, seen = [], [], set()
    for index, item in enumerate(items):
        key = (item["conversionAction"], item["orderId"])
        code = "DUPLICATE_ADJUSTMENT_IN_REQUEST" if key in seen else _judge(platform, account, item, now)
        seen.add(key)
        if code is None and not is_rehearsal:
            platform.ledger.retract(_key(item))
        if code is None:
            results.append({"conversionAction": item["conversionAction"], "orderId": item["orderId"]})
        else:
            errors.append(_error("conversionAdjustmentUploadError", code, index, "conversion_adjustments"))
            results.append({})
    return _partial([] if is_rehearsal else results, errors)


def _key(item: Any) -> Key:
    return Key(item["conversionAction"].rpartition("/")[2], item["orderId"])


def _judge(platform: "GooglePlatform", account: Account, item: Any, now: datetime) -> str | None:
    if item["orderId"] in platform.refuses:
        return platform.refuses[item["orderId"]]
    match = ACTION.fullmatch(item["conversionAction"])
    if match is None or match.group(1) != account.id or match.group(2) not in account.actions:
        return "NO_CONVERSION_ACTION_FOUND"
    if not TIME.fullmatch(item["adjustmentDateTime"]):
        raise ValueError("a time in another form")
    if item["adjustmentType"] != "RETRACTION" or "restatementValue" in item:
        raise ValueError("only retractions are simulated")
    entry = platform.ledger.recorded(_key(item))
    if entry is None:
        return "CONVERSION_NOT_FOUND"
    if now - entry.event_at < YOUNGEST:
        return "TOO_RECENT_CONVERSION"
    if now - entry.event_at > OLDEST:
        return "CONVERSION_EXPIRED"
    return "CONVERSION_ALREADY_RETRACTED" if entry.is_retracted else None


def _partial(results: list[Any], errors: list[Any]) -> dict[str, Any]:
    if not errors:
        return {"results": results}
    failure = {"code": 3, "message": "Some failed.", "details": [{"@type": FAILURE, "errors": errors, "requestId": "ads-1"}]}
    return {"partialFailureError": failure, "results": results}


def _error(family: str, code: str, index: int | None = None, field: str = "") -> dict[str, Any]:
    error: dict[str, Any] = {"errorCode": {family: code}, "message": "It was not taken."}
    if index is not None:
        error["location"] = {"fieldPathElements": [{"fieldName": field, "index": index}]}
    return error
