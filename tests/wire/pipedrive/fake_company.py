"""A Pipedrive company for tests of the wire: lists with cursors and offsets, changelogs, strict about limits and types."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx

from connectors.contract.records import ObjectKind
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Held, Page, Stored, Window, nothing_held
from connectors.crm.pipedrive.settings import PipedriveSettings
from connectors.crm.pipedrive.source import PipedriveSource
from tests.memory_tokens import MemoryTokens

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOKEN = "f00dfeedf00dfeedf00dfeedf00dfeedf00dfeed"
GCLID = "a" * 39 + "1"
CONSENT = "b" * 39 + "2"
COSTS = {
    "deals/archived": 20,
    "leads": 20,
    "leads/archived": 40,
    "changelog": 20,
    "leadFields": 20,
    "currencies": 20,
    "users/me": 2,
}
SELECTION = Selection(
    {
        ObjectKind.DEAL: ObjectSelection(
            frozenset({"value", "currency", GCLID}), frozenset({"stage_id", "status"}), with_people=True
        ),
        ObjectKind.CONTACT: ObjectSelection(frozenset({"email", "phone"})),
        ObjectKind.LEAD: ObjectSelection(frozenset({"title", "value"}), frozenset({"label_ids"})),
    }
)
Row = dict[str, Any]
Override = Callable[[httpx.Request], httpx.Response | None]


def iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def lead_id(number: int) -> str:
    return f"adf21080-0e10-11eb-879b-{number:012d}"


def change(key: str, old: object, new: object, at: datetime, source: str = "app") -> Row:
    written = at.strftime("%Y-%m-%d %H:%M:%S")
    return {"field_key": key, "old_value": old, "new_value": new, "time": written, "change_source": source, "actor_user_id": 1}


@asynccontextmanager
async def unlocked() -> Any:
    yield


def no_lock() -> AbstractAsyncContextManager[None]:
    return unlocked()


@dataclass
class Company:
    """`on_request` may answer instead; `after_request` may change the company while somebody pages."""

    now: datetime = NOW
    ahead: timedelta = timedelta(0)
    rows: dict[str, dict[Any, Row]] = field(default_factory=dict)
    changelogs: dict[str, list[Row]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    webhooks: list[Row] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=lambda: {"api_token": TOKEN})
    knows_updated_since: bool = True
    changelog_page: int = 100
    on_request: Override = lambda _request: None
    after_request: Callable[["Company"], None] = lambda _company: None
    headers: dict[str, str] = field(default_factory=dict)
    tokens: MemoryTokens = field(default_factory=MemoryTokens)
    calls: Counter[str] = field(default_factory=Counter)
    requests: list[httpx.Request] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    spent: int = 0

    def deal(self, number: int, updated: datetime, **more: Any) -> Row:
        added = more.pop("added", updated)
        row = {
            "id": number,
            "title": f"Deal {number}",
            "value": 100,
            "currency": "EUR",
            "person_id": None,
            "org_id": None,
            "stage_id": 1,
            "pipeline_id": 1,
            "status": "open",
            "add_time": iso(added),
            "update_time": iso(updated),
            "stage_change_time": None,
            "won_time": None,
            "lost_time": None,
            "is_archived": False,
            "is_deleted": False,
            "custom_fields": {},
            **more,
        }
        self.rows.setdefault("deals", {})[number] = row
        return row

    def person(self, number: int, updated: datetime, **more: Any) -> Row:
        row = {
            "id": number,
            "name": f"Person {number}",
            "emails": [{"value": f"p{number}@example.com", "primary": True, "label": "work"}],
            "phones": [],
            "add_time": iso(updated),
            "update_time": iso(updated),
            "is_deleted": False,
            "custom_fields": {},
            **more,
        }
        self.rows.setdefault("persons", {})[number] = row
        return row

    def lead(self, number: int, updated: datetime, **more: Any) -> Row:
        one = lead_id(number)
        written = updated.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        row = {
            "id": one,
            "title": f"Lead {number}",
            "person_id": None,
            "organization_id": None,
            "label_ids": [],
            "is_archived": False,
            "value": None,
            "add_time": written,
            "update_time": written,
            **more,
        }
        self.rows.setdefault("leads", {})[one] = row
        return row

    def source(self, **settings: str) -> PipedriveSource:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        found = PipedriveSettings.from_mapping({**self.settings, "requests_per_2_seconds": "480", **settings})
        return PipedriveSource(client, found, self.tokens, no_lock, lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += timedelta(seconds=seconds)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        self.calls[f"{request.method} {path}"] += 1
        response = self.on_request(request) or self._answer(request, path)
        self.after_request(self)
        response.headers.update(self.headers)
        response.headers["date"] = format_datetime((self.now + self.ahead).replace(microsecond=0), usegmt=True)
        return response

    def _answer(self, request: httpx.Request, path: str) -> httpx.Response:
        assert request.headers.get("x-api-token", TOKEN) == TOKEN
        assert "api_token" not in request.url.params
        params = request.url.params
        match [request.method, *(part for part in path.split("/") if part)]:
            case ["GET", "api", "v2", ("deals" | "persons" | "organizations") as kind]:
                return self._list(kind, params, is_archive=False)
            case ["GET", "api", "v2", "deals", "archived"]:
                return self._list("deals", params, is_archive=True)
            case ["GET", "api", "v2", ("deals" | "persons" | "organizations") as kind, one]:
                return self._one(self.rows.get(kind, {}).get(int(one)), 1)
            case ["GET", "api", "v1", "leads"]:
                return self._leads(params, is_archive=False)
            case ["GET", "api", "v1", "leads", "archived"]:
                return self._leads(params, is_archive=True)
            case ["GET", "api", "v1", "leads", one]:
                return self._one(self.rows.get("leads", {}).get(one), 2)
            case ["GET", "api", "v1", ("deals" | "persons") as kind, one, "changelog"]:
                return self._changelog(f"{kind}/{one}", params)
            case ["GET", "api", "v1", "webhooks"]:
                return self._ok(self.webhooks, 10)
            case [_, "api", "v1", "webhooks", *rest]:
                return self._change_webhooks(request, rest)
            case ["GET", "api", ("v1" | "v2") as version, *rest] if f"{version}/{'/'.join(rest)}" in self.metadata:
                name = "/".join(rest)
                return self._ok(self.metadata[f"{version}/{name}"], COSTS.get(name, 10))
            case _:
                return refusal(404, "not found")

    def _ok(self, data: Any, cost: int, **additional: Any) -> httpx.Response:
        self.spent += cost
        return httpx.Response(200, json={"success": True, "data": data, "additional_data": additional or None})

    def _one(self, row: Row | None, cost: int) -> httpx.Response:
        return refusal(404, "not found") if row is None else self._ok(row, cost)

    def _list(self, kind: str, params: httpx.QueryParams, *, is_archive: bool) -> httpx.Response:
        assert int(params.get("limit", 100)) <= 500
        assert len(params.get("custom_fields", "").split(",")) <= 15
        cost = 20 if is_archive else 10
        rows = [row for row in self.rows.get(kind, {}).values() if bool(row.get("is_archived")) == is_archive]
        statuses = params.get("status", "open,won,lost").split(",")
        rows = [row for row in rows if ("deleted" if row["is_deleted"] else row.get("status", "open")) in statuses]
        if "ids" in params:
            ids = params["ids"].split(",")
            assert len(ids) <= 100
            return self._ok([row for row in rows if str(row["id"]) in ids], cost, next_cursor=None)
        rows = [row for row in rows if row["update_time"] >= params.get("updated_since", "")]
        rows = [row for row in rows if row["update_time"] < params.get("updated_until", "9")]
        rows.sort(key=lambda row: (row[params.get("sort_by", "id")], row["id"]))
        fixed = {name: value for name, value in params.items() if name != "cursor"}
        if "cursor" in params:
            after = json.loads(base64.b64decode(params["cursor"]))
            assert after["params"] == fixed, "a cursor is for the query that gave it"
            rows = [row for row in rows if [row[params["sort_by"]], row["id"]] > after["at"]]
        page = rows[: int(params.get("limit", 100))]
        at = [page[-1][params.get("sort_by", "id")], page[-1]["id"]] if page else None
        cursor = base64.b64encode(json.dumps({"params": fixed, "at": at}).encode()).decode()
        return self._ok([dict(row) for row in page], cost, next_cursor=cursor if len(rows) > len(page) else None)

    def _leads(self, params: httpx.QueryParams, *, is_archive: bool) -> httpx.Response:
        assert int(params.get("limit", 100)) <= 500
        assert not (is_archive and "updated_since" in params)
        rows = [row for row in self.rows.get("leads", {}).values() if bool(row["is_archived"]) == is_archive]
        if self.knows_updated_since and "updated_since" in params:
            since = datetime.fromisoformat(params["updated_since"])
            rows = [row for row in rows if datetime.fromisoformat(row["update_time"]) >= since]
        name, _, way = params.get("sort", "add_time ASC").partition(" ")
        rows.sort(key=lambda row: row["id"])
        rows.sort(key=lambda row: row[name], reverse=way == "DESC")
        start, limit = int(params.get("start", 0)), int(params.get("limit", 100))
        page = rows[start : start + limit]
        pagination = {"start": start, "limit": limit, "more_items_in_collection": start + limit < len(rows)}
        return self._ok([dict(row) for row in page], 40 if is_archive else 20, pagination=pagination)

    def _changelog(self, name: str, params: httpx.QueryParams) -> httpx.Response:
        cursor = params.get("cursor")
        assert cursor != "0", "the first call carries no cursor"
        newest_first = self.changelogs.get(name, [])[::-1]
        lines = sorted(newest_first, key=lambda line: line["time"], reverse=True)
        start = int(cursor.removeprefix("id:")) if cursor else 0
        page = lines[start : start + self.changelog_page]
        onward = f"id:{start + len(page)}" if start + len(page) < len(lines) else None
        return self._ok(page, 20, next_cursor=onward)

    def _change_webhooks(self, request: httpx.Request, rest: Sequence[str]) -> httpx.Response:
        if request.method == "DELETE":
            self.webhooks = [one for one in self.webhooks if str(one["id"]) != rest[0]]
            return self._ok(None, 6)
        if len(self.webhooks) >= 40:
            return refusal(422, "You have reached the limit of webhooks")
        body = json.loads(request.content)
        assert {"subscription_url", "event_action", "event_object", "name"} <= set(body)
        made = {"id": 900 + len(self.webhooks), "is_active": 1, "remove_time": None, **body}
        self.webhooks.append(made)
        return httpx.Response(201, json={"success": True, "status": "ok", "data": made})


def refusal(status: int, error: str, **more: object) -> httpx.Response:
    body = {"success": False, "error": error, "error_info": "see the docs", "data": None, "additional_data": None, **more}
    return httpx.Response(status, json=body)


@dataclass
class Store:
    """What the service would hold after each committed page."""

    versions: dict[tuple[ObjectKind, str], datetime] = field(default_factory=dict)
    newest: dict[tuple[ObjectKind, str], dict[str, Held]] = field(default_factory=dict)
    entries: dict[tuple[ObjectKind, str], set[tuple[str, str, datetime]]] = field(default_factory=dict)

    def take(self, page: Page | Sequence[Any]) -> None:
        for record in page.records if isinstance(page, Page) else page:
            key = (record.ref.kind, record.ref.external_id)
            self.versions[key] = record.modified_at
            for entry in record.entries:
                self.entries.setdefault(key, set()).add((entry.property, entry.value, entry.entered_at))
                held = self.newest.setdefault(key, {}).get(entry.property)
                if held is None or entry.entered_at >= held.at:
                    self.newest[key][entry.property] = Held(entry.value, entry.entered_at)

    def stored(self) -> Stored:
        async def unchanged(kind: ObjectKind, rows: Mapping[str, datetime]) -> frozenset[str]:
            return frozenset(one for one, at in rows.items() if self.versions.get((kind, one)) == at)

        async def known(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
            return frozenset(one for one in ids if (kind, one) in self.versions)

        async def newest(kind: ObjectKind, ids: Sequence[str]) -> Mapping[str, Mapping[str, Held]]:
            return {one: self.newest[kind, one] for one in ids if (kind, one) in self.newest}

        return Stored(unchanged, known, newest)


def nothing_stored() -> Stored:
    store = Store().stored()
    return Stored(store.unchanged, store.known, nothing_held)


async def read(
    company: Company,
    window: Window,
    selection: Selection = SELECTION,
    stored: Stored | None = None,
    source: PipedriveSource | None = None,
) -> list[Page]:
    found = (source or company.source()).changes(window, selection, stored or nothing_stored())
    return [page async for page in found]


def ids_in(pages: Sequence[Page], kind: ObjectKind) -> list[str]:
    return [record.ref.external_id for page in pages for record in page.records if record.ref.kind is kind]
