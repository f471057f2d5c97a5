"""A Salesforce org for tests of the wire: reads the SOQL that it is sent, strict about Salesforce's limits of a request."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

import httpx

from connectors.contract.records import ObjectKind, Record
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Page, Stored, Window
from connectors.crm.salesforce.settings import SalesforceSettings
from connectors.crm.salesforce.source import SalesforceSource
from tests.memory_tokens import MemoryTokens
from tests.wire.salesforce.soql_reading import matching

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SINCE = NOW - timedelta(hours=1)
HOST = "https://acme.my.salesforce.com"
ORG = "00Dfj000000AbCdEAK"
SETTINGS = {"client_id": "key", "client_secret": "secret", "instance_url": HOST}
SELECTION = Selection(
    {
        ObjectKind.DEAL: ObjectSelection(frozenset({"Amount"}), frozenset({"StageName"}), with_people=True),
        ObjectKind.CONTACT: ObjectSelection(frozenset({"Email"})),
        ObjectKind.LEAD: ObjectSelection(frozenset({"Email", "GCLID__c"}), frozenset({"Status"})),
    }
)
DEALS = Window(ObjectKind.DEAL, SINCE)
LEADS = Window(ObjectKind.LEAD, SINCE)

_PREFIXES = {"Lead": "00Q", "Contact": "003", "Opportunity": "006", "Account": "001", "OpportunityContactRole": "00K"}
_BASE = {"Id": "id", "IsDeleted": "boolean", "CreatedDate": "datetime", "SystemModstamp": "datetime"}
_HISTORY = {"Id": "id", "IsDeleted": "boolean", "CreatedDate": "datetime", "Field": "picklist", "OldValue": "anyType"} | {
    "NewValue": "anyType",
    "DataType": "picklist",
}


def schema() -> dict[str, dict[str, str]]:
    """Field types by object."""
    return {
        "Lead": _BASE
        | {"MasterRecordId": "reference", "Status": "picklist", "Email": "email", "GCLID__c": "string", "IsConverted": "boolean"}
        | {f"Converted{one}Id": "reference" for one in ("Contact", "Opportunity", "Account")},
        "Contact": _BASE | {"MasterRecordId": "reference", "Email": "email", "Phone": "phone", "AccountId": "reference"},
        "Opportunity": _BASE
        | {"StageName": "picklist", "Amount": "currency", "Probability": "percent", "CloseDate": "date", "Type": "picklist"}
        | {"AccountId": "reference", "ContactId": "reference", "LastStageChangeDate": "datetime"},
        "Account": _BASE | {"MasterRecordId": "reference", "Name": "string", "BillingAddress": "address"},
        "OpportunityContactRole": _BASE
        | {"OpportunityId": "reference", "ContactId": "reference", "Role": "picklist", "IsPrimary": "boolean"},
        "LeadHistory": _HISTORY | {"LeadId": "reference"},
        "OpportunityHistory": {"Id": "id", "IsDeleted": "boolean", "CreatedDate": "datetime", "OpportunityId": "reference"}
        | {"StageName": "picklist", "Amount": "currency", "Probability": "percent", "CloseDate": "date"},
        "FieldDefinition": {"QualifiedApiName": "string", "EntityDefinition.QualifiedApiName": "string"}
        | {"IsFieldHistoryTracked": "boolean"},
        "Organization": {"Id": "id", "TimeZoneSidKey": "picklist", "IsSandbox": "boolean", "OrganizationType": "picklist"},
        "OpportunityStage": dict.fromkeys(("ApiName", "MasterLabel"), "string")
        | {"SortOrder": "int", "IsActive": "boolean", "IsClosed": "boolean", "IsWon": "boolean", "DefaultProbability": "percent"},
        "LeadStatus": dict.fromkeys(("ApiName", "MasterLabel"), "string")
        | {"SortOrder": "int", "IsConverted": "boolean", "IsDefault": "boolean"},
    }


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def org_id(of: str, number: int) -> str:
    return f"{_PREFIXES.get(of, '0Xx')}{number:012d}AAA"


@asynccontextmanager
async def no_lock() -> AsyncIterator[None]:
    yield


Override = Callable[[httpx.Request], httpx.Response | None]
Refusal = Callable[[str], tuple[int, str] | None]


@dataclass
class Org:
    """`on_request` may answer a request, `refuse` a query within a composite, instead of the org. `after` may change it then.

    `now` is our clock; Salesforce's is `ahead` of it. `page_rows`: how many rows a page has at most, at any moment.
    """

    now: datetime = NOW
    ahead: timedelta = timedelta(0)
    fields: dict[str, dict[str, str]] = field(default_factory=schema)
    rows: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    tracked: set[tuple[str, str]] = field(default_factory=lambda: {("Lead", "Status")})
    deleted: dict[str, list[tuple[str, datetime]]] = field(default_factory=dict)
    choices: dict[str, list[str]] = field(default_factory=dict)  # of a history's `Field`
    usage: str | None = "api-usage=18/100000"
    versions: tuple[str, ...] = ("66.0", "67.0", "68.0")
    page_rows: int = 2000
    access_token: str = "token-1"
    tokens_given: int = 0
    on_request: Override = lambda _request: None
    refuse: Refusal = lambda _soql: None
    after: Callable[["Org"], None] = lambda _org: None
    calls: Counter[str] = field(default_factory=Counter)
    queries: list[str] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    store: MemoryTokens = field(default_factory=MemoryTokens)

    def put(self, of: str, number: int, at: datetime = SINCE, **values: Any) -> str:
        """A row of an object; returns its id."""
        own = org_id(of, number)
        blank: dict[str, Any] = dict.fromkeys(self.fields[of])
        blank |= {"Id": own, "IsDeleted": False, "CreatedDate": iso(NOW - timedelta(days=9)), "SystemModstamp": iso(at)}
        blank = {name: value for name, value in blank.items() if name in self.fields[of]}
        self.rows.setdefault(of, {})[own] = blank | values
        return own

    def stage(self, deal: str, at: datetime, name: str, **values: Any) -> None:
        number = 1 + len(self.rows.get("OpportunityHistory", {}))
        self.put("OpportunityHistory", number, CreatedDate=iso(at), OpportunityId=deal, StageName=name, **values)

    def lead_change(self, lead: str, at: datetime, name: str, old: Any = None, new: Any = None, **more: Any) -> None:
        number = 1 + len(self.rows.get("LeadHistory", {}))
        values = {"LeadId": lead, "Field": name, "OldValue": old, "NewValue": new, "CreatedDate": iso(at), **more}
        self.put("LeadHistory", number, **values)

    def role(self, number: int, deal: str, contact: str, at: datetime = SINCE, **values: Any) -> str:
        row = {"OpportunityId": deal, "ContactId": contact, "IsPrimary": False, "Role": None}
        return self.put("OpportunityContactRole", number, at, **(row | values))

    def source(self, **settings: str) -> SalesforceSource:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        read = SalesforceSettings.from_mapping(SETTINGS | settings)
        return SalesforceSource(client, read, self.store, no_lock, lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += timedelta(seconds=seconds)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.calls[f"{request.method} {request.url.path.removeprefix('/services/data/v67.0')}"] += 1
        response = self.on_request(request) or self._answer(request)
        response.headers["date"] = format_datetime((self.now + self.ahead).replace(microsecond=0), usegmt=True)
        if self.usage is not None:
            response.headers["sforce-limit-info"] = self.usage
        return response

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/services/oauth2/token":
            return self._token(request)
        if request.headers.get("authorization") != f"Bearer {self.access_token}":
            return refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if request.url.path == "/services/data/":
            return httpx.Response(200, json=[{"version": one, "label": one, "url": one} for one in self.versions])
        path = request.url.raw_path.decode().removeprefix("/services/data/v67.0/")
        if path == "composite":
            response = self._composite(json.loads(request.content))
            self.after(self)
            return response
        assert len(path) < 16_000
        status, body = self.part(path)
        return httpx.Response(status, json=body)

    def _token(self, request: httpx.Request) -> httpx.Response:
        self.tokens_given += 1
        self.access_token = f"token-{self.tokens_given}"
        body = {"access_token": self.access_token, "instance_url": HOST, "token_type": "Bearer", "issued_at": "1763640000000"}
        return httpx.Response(200, json=body | {"id": f"{HOST}/id/{ORG}/005", "scope": "api", "signature": "x"})

    def _composite(self, body: dict[str, Any]) -> httpx.Response:
        parts = body["compositeRequest"]
        assert 0 < len(parts) <= 25
        assert sum("/query" in part["url"] for part in parts) <= 5
        assert body["allOrNone"] is False
        answers = []
        for part in parts:
            assert part["method"] == "GET"
            status, found = self.part(part["url"].removeprefix("/services/data/v67.0/"))
            answers.append({"body": found, "httpHeaders": {}, "httpStatusCode": status, "referenceId": part["referenceId"]})
        return httpx.Response(200, json={"compositeResponse": answers})

    def part(self, path: str) -> tuple[int, Any]:
        """What a GET gives."""
        place, _, query = path.partition("?")
        params = dict(parse_qsl(query))
        match place.strip("/").split("/"):
            case ["query" | "queryAll" as how]:
                return self._query(unquote(query.removeprefix("q=")), with_deleted=how == "queryAll")
            case ["tooling", "query"]:
                return self._query(params["q"], with_deleted=False)
            case ["sobjects", of, "describe"]:
                return self._describe(of)
            case ["sobjects", of, "deleted"]:
                return self._deleted(of, params)
            case ["limits"]:
                return 200, {"DailyApiRequests": {"Max": 100_000, "Remaining": 99_982}}
            case _:
                return 404, refused("NOT_FOUND", "The requested resource does not exist")

    def _describe(self, of: str) -> tuple[int, Any]:
        if of not in self.fields:
            return 404, refused("NOT_FOUND", "The requested resource does not exist")
        named = {"custom": False, "updateable": True, "length": 0, "filterable": True, "sortable": True, "picklistValues": []}
        fields = [{"name": one, "label": one, "type": kind, **named} for one, kind in self.fields[of].items()]
        named_fields = [{"value": one, "label": one} for one in self.choices.get(of, ())]
        fields = [one | {"picklistValues": named_fields} if one["name"] == "Field" else one for one in fields]
        return 200, {"name": of, "label": of, "fields": fields}

    def _query(self, soql: str, *, with_deleted: bool) -> tuple[int, Any]:
        self.queries.append(soql)
        assert len(soql) <= 100_000
        refused_as = self.refuse(soql)
        if refused_as is not None:
            return refused_as[0], refused(refused_as[1], "refused")
        tables = {"FieldDefinition": self._definitions(), "Organization": self._organization()}
        found = matching(soql, self.fields, self.rows | tables, with_deleted=with_deleted)
        if isinstance(found, tuple):
            return 400, refused(*found)
        page = found[: self.page_rows]
        body: dict[str, Any] = {"totalSize": len(found), "done": len(page) == len(found), "records": page}
        return 200, body if body["done"] else body | {"nextRecordsUrl": "/services/data/v67.0/query/01gxx-2000"}

    def _definitions(self) -> dict[str, dict[str, Any]]:
        return {
            f"{of}.{name}": {
                "QualifiedApiName": name,
                "EntityDefinition": {"QualifiedApiName": of},
                "IsFieldHistoryTracked": (of, name) in self.tracked,
            }
            for of, fields in self.fields.items()
            for name in fields
        }

    @staticmethod
    def _organization() -> dict[str, dict[str, Any]]:
        row = {"Id": ORG, "TimeZoneSidKey": "America/New_York", "IsSandbox": False, "OrganizationType": "Enterprise Edition"}
        return {ORG: row}

    def _deleted(self, of: str, params: Mapping[str, str]) -> tuple[int, Any]:
        start, end = (datetime.fromisoformat(params[name]) for name in ("start", "end"))
        assert timedelta(0) < end - start <= timedelta(days=30)
        refused_as = self.refuse(f"deleted {of} {(end - start) / timedelta(minutes=1)}")
        if refused_as is not None:
            return refused_as[0], refused(refused_as[1], "refused")
        rows = [{"id": one, "deletedDate": iso(at)} for one, at in self.deleted.get(of, ()) if start <= at < end]
        return 200, {"deletedRecords": rows, "earliestDateAvailable": iso(start), "latestDateCovered": iso(end)}


def refused(code: str, message: str = "") -> list[dict[str, Any]]:
    return [{"message": message, "errorCode": code}]


def refusal(status: int, code: str, message: str = "") -> httpx.Response:
    return httpx.Response(status, json=refused(code, message))


def stored(*, unchanged: bool = False, known: bool = False) -> Stored:
    """What the service holds: nothing, or everything."""

    async def of_versions(kind: ObjectKind, rows: Mapping[str, datetime]) -> frozenset[str]:
        return frozenset(rows) if unchanged else frozenset()

    async def of_ids(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
        return frozenset(ids) if known else frozenset()

    return Stored(of_versions, of_ids)


async def read(
    org: Org,
    window: Window = DEALS,
    selection: Selection = SELECTION,
    held: Stored | None = None,
    source: SalesforceSource | None = None,
) -> list[Page]:
    return [page async for page in (source or org.source()).changes(window, selection, held or stored())]


def ids_in(pages: Sequence[Page], kind: ObjectKind) -> list[str]:
    return [record.ref.external_id for page in pages for record in page.records if record.ref.kind is kind]


async def deal_of(org: Org, **more: Any) -> Record:
    """The one deal that a poll reads."""
    pages = await read(org, DEALS, **more)
    (found,) = [record for page in pages for record in page.records if record.ref.kind is ObjectKind.DEAL]
    return found
