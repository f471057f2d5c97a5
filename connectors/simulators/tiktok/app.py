"""The ASGI face of the simulated TikTok Business API."""

import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.simulators.clocked import Clock, http_date
from connectors.simulators.tiktok.platform import BAD_PARAMETER, NO_PERMISSION, ApiError, TikTokPlatform

ROOT = "/open_api/v1.3"
MOST_DAYS = 30

Answer = Callable[[TikTokPlatform, Request, Any, datetime], dict[str, Any]]


def create_tiktok(platform: TikTokPlatform, clock: Clock) -> Starlette:
    """`/open_api/v1.3/...` of one platform on one clock. Paths end with a slash, as TikTok wants them."""

    def door(name: str, answer: Answer) -> Callable[[Request], Any]:
        async def serve(request: Request) -> Response:
            platform.calls[name] += 1
            now = clock()
            told: dict[str, Any] = {"code": 0, "message": "OK", "request_id": f"request-{platform.calls.total()}", "data": {}}
            try:
                raw = await request.body()
                body = json.loads(raw) if raw else None
                platform.admit(request.headers.get("access-token", ""), reads=name != "track")
                told["data"] = answer(platform, request, body, now)
            except ApiError as error:
                told |= {"code": error.code, "message": error.message}
            except ValueError:
                told |= {"code": BAD_PARAMETER, "message": "The request cannot be read."}
            return JSONResponse(told, headers={"date": http_date(now), "x-tt-logid": told["request_id"]})

        return serve

    return Starlette(
        routes=[
            Route(f"{ROOT}/event/track/", door("track", _track), methods=["POST"]),
            Route(f"{ROOT}/crm/list/", door("crm_list", _crm_list), methods=["GET"]),
            Route(f"{ROOT}/crm/create/", door("crm_create", _crm_create), methods=["POST"]),
            Route(f"{ROOT}/offline/get/", door("offline_get", _offline_get), methods=["GET"]),
            Route(f"{ROOT}/oauth2/advertiser/get/", door("advertisers", _advertisers), methods=["GET"]),
            Route(f"{ROOT}/advertiser/info/", door("info", _info), methods=["GET"]),
            Route(f"{ROOT}/report/integrated/get/", door("report", _report), methods=["GET"]),
        ]
    )


def _track(platform: TikTokPlatform, request: Request, body: Any, now: datetime) -> dict[str, Any]:
    platform.bodies.append((request.url.path, body if isinstance(body, dict) else {}))
    platform.track(body, now)
    return {}


def _own(platform: TikTokPlatform, advertiser_id: Any) -> None:
    if advertiser_id != platform.advertiser_id:
        raise ApiError(NO_PERMISSION, "No permission to operate on this advertiser.")


def _crm_list(platform: TikTokPlatform, request: Request, _body: Any, _now: datetime) -> dict[str, Any]:
    _own(platform, request.query_params.get("advertiser_id"))
    return {"event_sets": [{"event_set_id": one, "name": name} for one, name in platform.crm_sets.items()]}


def _crm_create(platform: TikTokPlatform, _request: Request, body: Any, now: datetime) -> dict[str, Any]:
    _own(platform, body.get("advertiser_id"))
    made = str(7000000000000000000 + len(platform.crm_sets))
    platform.crm_sets[made] = body["name"]
    return {"event_set_id": made, "name": body["name"], "create_time": now.isoformat()}


def _offline_get(platform: TikTokPlatform, request: Request, _body: Any, _now: datetime) -> dict[str, Any]:
    _own(platform, request.query_params.get("advertiser_id"))
    wanted = json.loads(request.query_params.get("event_set_ids", "[]"))
    return {
        "event_sets": [
            {"event_set_id": one, "name": platform.offline_sets[one]} for one in wanted if one in platform.offline_sets
        ]
    }


def _advertisers(platform: TikTokPlatform, request: Request, _body: Any, _now: datetime) -> dict[str, Any]:
    if (request.query_params.get("app_id"), request.query_params.get("secret")) != platform.app:
        raise ApiError(40105, "The app is not known.")
    return {"list": [{"advertiser_id": platform.advertiser_id, "advertiser_name": "Example"}]}


def _info(platform: TikTokPlatform, request: Request, _body: Any, _now: datetime) -> dict[str, Any]:
    wanted = json.loads(request.query_params.get("advertiser_ids", "[]"))
    if wanted != [platform.advertiser_id]:
        raise ApiError(NO_PERMISSION, "No permission to operate on this advertiser.")
    own = {"advertiser_id": platform.advertiser_id, "currency": platform.currency, "timezone": platform.time_zone}
    return {"list": [own]}


def _report(platform: TikTokPlatform, request: Request, _body: Any, _now: datetime) -> dict[str, Any]:
    query = request.query_params
    _own(platform, query.get("advertiser_id"))
    first, last = date.fromisoformat(query["start_date"]), date.fromisoformat(query["end_date"])
    size, page = int(query.get("page_size", "10")), int(query.get("page", "1"))
    wanted = json.loads(query["metrics"])
    if (last - first).days >= MOST_DAYS or not 1 <= size <= 1000 or query.get("data_level") != "AUCTION_CAMPAIGN":
        raise ApiError(BAD_PARAMETER, "The time span, page size or level is not valid.")
    if set(json.loads(query["dimensions"])) != {"campaign_id", "stat_time_day"}:
        raise ApiError(BAD_PARAMETER, "dimensions: is not valid.")
    found = [(key, one) for key, one in sorted(platform.spent.items()) if first <= key[1] <= last]
    rows = [_row(platform, campaign, day, one, wanted) for (campaign, day), one in found]
    pages = max(1, -(-len(rows) // size))
    info = {"page": page, "page_size": size, "total_number": len(rows), "total_page": pages}
    return {"list": rows[(page - 1) * size : page * size], "page_info": info}


def _row(platform: TikTokPlatform, campaign: str, day: date, spent: Any, wanted: list[str]) -> dict[str, Any]:
    metrics = {
        "spend": str(spent.cost),
        "impressions": str(spent.impressions),
        "clicks": str(spent.clicks),
        "campaign_name": platform.campaigns[campaign],
    }
    unknown = set(wanted) - set(metrics)
    if unknown:
        raise ApiError(BAD_PARAMETER, f"metrics: {sorted(unknown)} is not valid.")
    dimensions = {"campaign_id": campaign, "stat_time_day": f"{day.isoformat()} 00:00:00"}
    return {"dimensions": dimensions, "metrics": {name: metrics[name] for name in wanted}}
