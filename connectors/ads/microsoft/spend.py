"""What campaigns cost, by a report that is ordered, waited for and downloaded as a zipped CSV."""

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from connectors.ads.microsoft.api import CUSTOMER, REPORTING, Api
from connectors.ads.microsoft.settings import MicrosoftSettings
from connectors.contract.conversions import MICROS, Money
from connectors.contract.errors import Effect, UnexpectedReply
from connectors.contract.spend import CampaignSpend, SpendPage, SpendPending
from connectors.http.download import MOST_BYTES, Downloads
from connectors.upload.json_values import as_list, as_object, as_text

# One report takes more; so many keep its file small.
MOST_DAYS = 90
WAIT = timedelta(seconds=5)
COLUMNS = ["TimePeriod", "AccountId", "CampaignId", "CampaignName", "CurrencyCode", "Spend", "Clicks", "Impressions"]
# Of Microsoft's own zone names, the IANA name of those that accounts have; another is shown as Microsoft writes it.
ZONES: Mapping[str, str] = {
    "PacificTimeUSCanadaTijuana": "America/Los_Angeles",
    "EasternTimeUSCanada": "America/New_York",
    "CentralTimeUSCanada": "America/Chicago",
    "MountainTimeUSCanada": "America/Denver",
    "GreenwichMeanTimeDublinEdinburghLisbonLondon": "Europe/London",
    "AmsterdamBerlinBernRomeStockholmVienna": "Europe/Berlin",
    "BrusselsCopenhagenMadridParis": "Europe/Paris",
}
_DAYS = ("%Y-%m-%d", "%m/%d/%Y")


async def read_page(
    api: Api, downloads: Downloads, settings: MicrosoftSettings, first: date, last: date, page: str | None
) -> SpendPage | SpendPending:
    """Order the report (`page` None), or look whether it is made; all its rows are one page."""
    if page is None:
        answer = await api.read(REPORTING, "/GenerateReport/Submit", _request(settings, first, last))
        report = as_text(answer.get("ReportRequestId"))
        if not report:
            raise UnexpectedReply("Microsoft took the order of a report and gave no id", effect=Effect.NONE)
        return SpendPending(report, WAIT)
    answer = await api.read(REPORTING, "/GenerateReport/Poll", {"ReportRequestId": page})
    status = as_object(answer.get("ReportRequestStatus"))
    match status.get("Status"):
        case "Pending":
            return SpendPending(page, WAIT)
        case "Success":
            url = as_text(status.get("ReportDownloadUrl"))
        case _:
            raise UnexpectedReply("Microsoft could not make the report; it is ordered again", effect=Effect.NONE)
    account = await _account(api, settings)
    currency, zone = as_text(account.get("CurrencyCode")), as_text(account.get("TimeZone"))
    rows = list(_rows(await downloads.fetch(url), currency)) if url else []
    return SpendPage(rows, None, currency or None, ZONES.get(zone, zone) or None)


async def _account(api: Api, settings: MicrosoftSettings) -> Mapping[str, object]:
    predicates = [{"Field": "AccountId", "Operator": "Equals", "Value": settings.account_id}]
    body = {"Predicates": predicates, "Ordering": None, "PageInfo": {"Index": 0, "Size": 10}}
    answer = await api.read(CUSTOMER, "/Accounts/Search", body)
    return next((as_object(one) for one in as_list(answer.get("Accounts"))), {})


def _request(settings: MicrosoftSettings, first: date, last: date) -> Mapping[str, object]:
    span = {"CustomDateRangeStart": _day(first), "CustomDateRangeEnd": _day(last)}
    return {
        "ReportRequest": {
            "Type": "CampaignPerformanceReportRequest",
            "ReportName": "daily-spend",
            "Format": "Csv",
            "FormatVersion": "2.0",
            "ExcludeReportHeader": True,
            "ExcludeReportFooter": True,
            "ExcludeColumnHeaders": False,
            "ReturnOnlyCompleteData": False,
            "Aggregation": "Daily",
            "Columns": COLUMNS,
            "Scope": {"AccountIds": [settings.account_id]},
            "Time": span,
        }
    }


def _rows(content: bytes, account_currency: str) -> Iterator[CampaignSpend]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if len(names) != 1 or archive.getinfo(names[0]).file_size > MOST_BYTES:
                raise _unreadable("a file that is not one of a fair size")
            text = archive.read(names[0]).decode("utf-8-sig")
    except (zipfile.BadZipFile, UnicodeDecodeError, RuntimeError):
        raise _unreadable("a file that is no zipped CSV") from None
    reader = csv.DictReader(io.StringIO(text))
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise _unreadable("a file without the columns that were ordered")
    for cells in reader:
        yield _row(cells, account_currency)


def _row(cells: Mapping[str, str], account_currency: str) -> CampaignSpend:
    try:
        cost = Decimal(_number(cells["Spend"]))
        clicks, impressions = int(_number(cells["Clicks"])), int(_number(cells["Impressions"]))
    except (InvalidOperation, ValueError):
        raise _unreadable("a row whose numbers cannot be read") from None
    campaign, currency = cells["CampaignId"].strip(), cells["CurrencyCode"].strip() or account_currency
    if not campaign or not currency or not cost.is_finite() or cost < 0:
        raise _unreadable("a row without campaign, currency or cost")
    return CampaignSpend(
        campaign_id=campaign,
        day=_parsed_day(cells["TimePeriod"].strip()),
        cost=Money(round(cost * MICROS), currency),
        campaign_name=cells["CampaignName"].strip() or None,
        clicks=clicks,
        impressions=impressions,
    )


def _parsed_day(text: str) -> date:
    for form in _DAYS:
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 a day of the account's calendar
        except ValueError:
            continue
    raise _unreadable("a row without a day that can be read")


def _number(text: str) -> str:
    return text.replace(",", "").strip() or "0"


def _day(day: date) -> Mapping[str, int]:
    return {"Day": day.day, "Month": day.month, "Year": day.year}


def _unreadable(what: str) -> UnexpectedReply:
    return UnexpectedReply(f"Microsoft's report is {what}", effect=Effect.NONE)
