"""The ASGI face of the simulated Microsoft Advertising: three services and the token endpoint on one host."""

import csv
import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.simulators.clocked import Clock, http_date
from connectors.simulators.microsoft.faults import ApiFault, partial
from connectors.simulators.microsoft.platform import MicrosoftPlatform

CAMPAIGN, CUSTOMER, REPORTING = "/CampaignManagement/v13", "/CustomerManagement/v13", "/Reporting/v13"
ATTRIBUTES = {"TimePeriod", "AccountId", "CampaignId", "CampaignName", "CurrencyCode"}
FIGURES = {"Spend", "Clicks", "Impressions", "Conversions", "AllConversions"}

Answer = Callable[[MicrosoftPlatform, Request, Any, datetime], dict[str, Any]]


def create_microsoft(platform: MicrosoftPlatform, clock: Clock) -> Starlette:
    """All services of one platform on one clock."""

    async def token(request: Request) -> Response:
        form = {key: values[0] for key, values in parse_qs((await request.body()).decode()).items()}
        granted = platform.grant(form, clock()) if "msads.manage" in form.get("scope", "") else None
        if granted is None:
            return JSONResponse({"error": "invalid_grant", "error_description": "AADSTS70000: expired or revoked"}, 400)
        return JSONResponse(granted)

    def door(name: str, answer: Answer) -> Callable[[Request], Any]:
        async def serve(request: Request) -> Response:
            now = clock()
            platform.calls[name] += 1
            headers = {"date": http_date(now), "TrackingId": f"tracking-{platform.calls.total()}"}
            try:
                platform.admit(request.headers, now)
                return JSONResponse(answer(platform, request, await request.json(), now), headers=headers)
            except ApiFault as fault:
                return JSONResponse(fault.body(), fault.status, headers)
            except (ValueError, KeyError, TypeError):
                return JSONResponse(ApiFault(100).body(), 400, headers)

        return serve

    async def download(request: Request) -> Response:
        if "authorization" in request.headers:
            return Response("credentials do not belong here", 400)
        return Response(_zipped(platform, platform.reports[request.path_params["report"]]), media_type="application/zip")

    return Starlette(
        routes=[
            Route("/common/oauth2/v2.0/token", token, methods=["POST"]),
            Route(f"{CAMPAIGN}/OfflineConversions/Apply", door("apply", _apply), methods=["POST"]),
            Route(f"{CAMPAIGN}/OfflineConversionAdjustments/Apply", door("adjust", _adjust), methods=["POST"]),
            Route(f"{CAMPAIGN}/ConversionGoals/QueryByIds", door("goals", _goals), methods=["POST"]),
            Route(f"{CAMPAIGN}/ConversionGoals", door("save_goals", _save_goals), methods=["POST", "PUT"]),
            Route(f"{CUSTOMER}/User/Query", door("user", lambda *_: {"User": {"Id": "1", "UserName": "ops"}}), methods=["POST"]),
            Route(f"{CUSTOMER}/Accounts/Search", door("accounts", _accounts), methods=["POST"]),
            Route(f"{REPORTING}/GenerateReport/Submit", door("submit", _submit), methods=["POST"]),
            Route(f"{REPORTING}/GenerateReport/Poll", door("poll", _poll), methods=["POST"]),
            Route("/download/{report}", download, methods=["GET"]),
        ]
    )


def _apply(platform: MicrosoftPlatform, request: Request, body: Any, now: datetime) -> dict[str, Any]:
    platform.bodies.append((request.url.path, body))
    return {"PartialErrors": platform.apply(body["OfflineConversions"], now, adjusts=False)}


def _adjust(platform: MicrosoftPlatform, request: Request, body: Any, now: datetime) -> dict[str, Any]:
    platform.bodies.append((request.url.path, body))
    return {"PartialErrors": platform.apply(body["OfflineConversionAdjustments"], now, adjusts=True)}


def _goals(platform: MicrosoftPlatform, _request: Request, body: Any, _now: datetime) -> dict[str, Any]:
    if body.get("ConversionGoalTypes") != "OfflineConversion":
        return {"ConversionGoals": [], "PartialErrors": []}
    return {"ConversionGoals": [goal.as_json() for goal in platform.goals.values()], "PartialErrors": []}


def _save_goals(platform: MicrosoftPlatform, request: Request, body: Any, now: datetime) -> dict[str, Any]:
    ids: list[str | None] = []
    errors = []
    for index, wanted in enumerate(body["ConversionGoals"]):
        known = next((goal for goal in platform.goals.values() if goal.id == wanted.get("Id")), None)
        window = timedelta(minutes=wanted["ConversionWindowInMinutes"])
        is_bad = wanted["Type"] != "OfflineConversion" or window > timedelta(days=90) or not wanted["Name"]
        if request.method == "POST":
            is_bad |= wanted["Name"] in platform.goals or not wanted.get("GoalCategory")
        else:
            is_bad |= known is None
        if is_bad:
            errors.append(partial(index, 4000))
            ids.append(None)
            continue
        goal = known or platform.add_goal(wanted["Name"], now)
        goal.window, goal.status = window, wanted.get("Status", goal.status)
        goal.takes_hashes = bool(wanted.get("IsEnhancedConversionsEnabled"))
        goal.fields.update({name: wanted[name] for name in ("CountType", "GoalCategory", "Revenue", "Scope") if name in wanted})
        ids.append(goal.id)
    return {"ConversionGoalIds": ids, "PartialErrors": errors}


def _accounts(platform: MicrosoftPlatform, _request: Request, body: Any, _now: datetime) -> dict[str, Any]:
    wanted = {one["Value"] for one in body["Predicates"] if one["Field"] == "AccountId"}
    own = {
        "Id": platform.account_id,
        "Name": platform.name,
        "CurrencyCode": platform.currency,
        "TimeZone": platform.time_zone,
    }
    return {"Accounts": [own] if platform.account_id in wanted else []}


def _submit(platform: MicrosoftPlatform, _request: Request, body: Any, _now: datetime) -> dict[str, Any]:
    order = body["ReportRequest"]
    columns = set(order["Columns"])
    if order["Type"] != "CampaignPerformanceReportRequest" or not columns <= ATTRIBUTES | FIGURES or not columns & FIGURES:
        raise ApiFault(2001)
    if order["Scope"]["AccountIds"] != [platform.account_id] or "TimePeriod" not in columns:
        raise ApiFault(2001)
    report = f"report-{len(platform.reports) + 1}"
    platform.reports[report] = {**order, "polls": 0}
    return {"ReportRequestId": report}


def _poll(platform: MicrosoftPlatform, request: Request, body: Any, _now: datetime) -> dict[str, Any]:
    order = platform.reports[body["ReportRequestId"]]
    order["polls"] += 1
    if order["polls"] == 1:
        return {"ReportRequestStatus": {"Status": "Pending", "ReportDownloadUrl": None}}
    url = f"{request.url.scheme}://{request.url.netloc}/download/{body['ReportRequestId']}" if _found(platform, order) else ""
    return {"ReportRequestStatus": {"Status": "Success", "ReportDownloadUrl": url}}


def _found(platform: MicrosoftPlatform, order: dict[str, Any]) -> list[tuple[str, date]]:
    first, last = (_day(order["Time"][name]) for name in ("CustomDateRangeStart", "CustomDateRangeEnd"))
    return [key for key in sorted(platform.spent) if first <= key[1] <= last]


def _zipped(platform: MicrosoftPlatform, order: dict[str, Any]) -> bytes:
    """With a byte order mark, thousands commas, and days in both of the forms that were seen."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(order["Columns"])
    for place, (campaign, day) in enumerate(_found(platform, order)):
        spent = platform.spent[campaign, day]
        cells = {
            "TimePeriod": day.isoformat() if place % 2 else day.strftime("%m/%d/%Y"),
            "AccountId": platform.account_id,
            "CampaignId": campaign,
            "CampaignName": platform.campaigns[campaign],
            "CurrencyCode": platform.currency,
            "Spend": f"{spent.cost:,.2f}",
            "Clicks": f"{spent.clicks:,}",
            "Impressions": f"{spent.impressions:,}",
        }
        writer.writerow([cells[name] for name in order["Columns"]])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("daily-spend.csv", text.getvalue().encode("utf-8-sig"))
    return file.getvalue()


def _day(parts: dict[str, int]) -> date:
    return date(parts["Year"], parts["Month"], parts["Day"])
