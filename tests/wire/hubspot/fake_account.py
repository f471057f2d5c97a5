"""A HubSpot account for tests of the wire: searchable, batch-readable, strict about HubSpot's limits of a request."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from hashlib import sha256
from typing import Any

import httpx

from connectors.contract.records import ObjectKind
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Page, Stored, Window
from connectors.crm.hubspot.settings import HubSpotSettings
from connectors.crm.hubspot.source import HubSpotSource

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MODIFIED = {"contacts": "lastmodifieddate"}
SELECTION = Selection(
    {
        ObjectKind.DEAL: ObjectSelection(frozenset({"amount"}), frozenset({"dealstage"}), with_people=True),
        ObjectKind.CONTACT: ObjectSelection(frozenset({"email"}), frozenset({"lifecyclestage"})),
    }
)


def ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Row:
    id: str
    modified_ms: int
    properties: dict[str, str | None] = field(default_factory=dict)
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    archived_at: datetime | None = None


Override = Callable[[httpx.Request], httpx.Response | None]


@dataclass
class Account:
    """`on_request` may answer instead of the account; `after_search` may change it while somebody pages.

    `now` is our clock; HubSpot's is `ahead` of it. `merged`: by path the winner's id of each merged one; a single read of a
    merged id gives the winner, a batch read nothing, and the archived list holds the merged id.
    """

    now: datetime = NOW
    ahead: timedelta = timedelta(0)
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)
    merged: dict[str, dict[str, str]] = field(default_factory=dict)
    links: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    on_request: Override = lambda _request: None
    after_search: Callable[["Account"], None] = lambda _account: None
    links_a_page: int = 500
    calls: Counter[str] = field(default_factory=Counter)
    requests: list[httpx.Request] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)

    def put(self, path: str, row_id: int | str, modified: datetime | int, **properties: str | None) -> Row:
        at = modified if isinstance(modified, int) else ms(modified)
        row = Row(str(row_id), at, dict(properties))
        self.rows.setdefault(path, {})[row.id] = row
        return row

    def link(self, pair: tuple[str, str], from_id: str, to_id: str, *types: tuple[int, str | None]) -> None:
        named = [
            {"category": "HUBSPOT_DEFINED" if label is None else "USER_DEFINED", "typeId": type_id, "label": label}
            for type_id, label in types
        ]
        self.links.setdefault(pair, {}).setdefault(from_id, []).append({"toObjectId": int(to_id), "associationTypes": named})

    def source(self, time_zone: str | None = None, **more: str) -> HubSpotSource:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        settings = HubSpotSettings.from_mapping({"access_token": "pat-na1-test", **more})
        return HubSpotSource(client, settings, lambda: self.now, sleep=self.sleep, time_zone=time_zone)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += timedelta(seconds=seconds)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = request.url.path
        self.calls[f"{request.method} {path}"] += 1
        response = self.on_request(request) or self._answer(request, path)
        response.headers["date"] = format_datetime((self.now + self.ahead).replace(microsecond=0), usegmt=True)
        return response

    def _answer(self, request: httpx.Request, path: str) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        match [part for part in path.split("/") if part]:
            case ["crm", "objects", "2026-09", kind, "search"]:
                response = self._search(kind, body)
                self.after_search(self)
                return response
            case ["crm", "objects", "2026-09", kind, "batch", "read"]:
                return self._batch_read(kind, body, archived=request.url.params["archived"] == "true")
            case ["crm", "objects", "2026-09", kind]:
                return self._list(kind, request.url.params)
            case ["crm", "objects", "2026-09", kind, one]:
                return self._read_one(kind, one)
            case ["crm", "associations", "2026-09", one, other, "batch", "read"]:
                return self._associations((one, other), body)
            case _:
                pass
        if path in self.metadata:
            return httpx.Response(200, json=self.metadata[path])
        return refusal(404, "OBJECT_NOT_FOUND", "no such page")

    def _search(self, kind: str, body: dict[str, Any]) -> httpx.Response:
        groups = [group["filters"] for group in body["filterGroups"]]
        assert len(groups) <= 3
        assert all(len(filters) <= 3 for filters in groups)
        assert len(body["sorts"]) == 1
        assert body["limit"] <= 200
        assert "after" not in body
        modified = MODIFIED.get(kind, "hs_lastmodifieddate")
        tests = [_all([_test(one, modified) for one in filters]) for filters in groups]
        found = [row for row in self.rows.get(kind, {}).values() if row.archived_at is None and any(test(row) for test in tests)]
        by_id = body["sorts"][0]["propertyName"] == "hs_object_id"
        found.sort(key=(lambda row: int(row.id)) if by_id else _by_modification)
        page = found[: body["limit"]]
        results = [{"id": row.id, "properties": {modified: iso(at(row.modified_ms))}, "archived": False} for row in page]
        answer: dict[str, Any] = {"total": len(found), "results": results}
        if len(found) > len(page):
            answer["paging"] = {"next": {"after": str(len(page))}}
        return httpx.Response(200, json=answer)

    def _list(self, kind: str, params: httpx.QueryParams) -> httpx.Response:
        assert params["archived"] == "true"
        assert int(params["limit"]) <= 100
        assert params["properties"] == "hs_object_id"
        bin_of_kind = {row.id: row.archived_at for row in self.rows.get(kind, {}).values() if row.archived_at is not None}
        bin_of_kind |= dict.fromkeys(self.merged.get(kind, {}), NOW)
        ids = sorted((one for one in bin_of_kind if int(one) > int(params.get("after", "0"))), key=int)
        page = ids[: int(params["limit"])]
        results = [{"id": one, "properties": {}, "archived": True, "archivedAt": iso(bin_of_kind[one])} for one in page]
        paging = {"paging": {"next": {"after": page[-1]}}} if len(ids) > len(page) else {}
        return httpx.Response(200, json={"results": results, **paging})

    def _read_one(self, kind: str, one: str) -> httpx.Response:
        row = self.rows.get(kind, {}).get(self.merged.get(kind, {}).get(one, one))
        if row is None or row.archived_at is not None:
            return refusal(404, "OBJECT_NOT_FOUND", "resource not found")
        return httpx.Response(200, json={"id": row.id, "properties": {}, "archived": False})

    def _batch_read(self, kind: str, body: dict[str, Any], *, archived: bool) -> httpx.Response:
        ids = [one["id"] for one in body["inputs"]]
        assert 0 < len(ids) <= (50 if body["propertiesWithHistory"] else 100)
        assert len(set(ids)) == len(ids)
        known = self.rows.get(kind, {})
        shown = [known[one] for one in ids if one in known and (known[one].archived_at is not None) == archived]
        results = [self._shown(kind, row, body) for row in shown]
        missing = sorted(set(ids) - {row.id for row in shown})
        answer: dict[str, Any] = {"status": "COMPLETE", "results": results}
        if missing:
            error = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "gone", "context": {"ids": missing}}
            answer |= {"numErrors": 1, "errors": [error]}
        return httpx.Response(207 if missing else 200, json=answer)

    def _shown(self, kind: str, row: Row, body: dict[str, Any]) -> dict[str, Any]:
        modified = MODIFIED.get(kind, "hs_lastmodifieddate")
        properties = {name: row.properties.get(name) for name in body["properties"]}
        properties[modified] = iso(at(row.modified_ms))
        shown: dict[str, Any] = {"id": row.id, "properties": properties, "createdAt": iso(NOW - timedelta(days=9))}
        if body["propertiesWithHistory"]:
            shown["propertiesWithHistory"] = {name: row.histories.get(name, []) for name in body["propertiesWithHistory"]}
        if row.archived_at is not None:
            shown |= {"archived": True, "archivedAt": iso(row.archived_at)}
        return shown

    def _associations(self, pair: tuple[str, str], body: dict[str, Any]) -> httpx.Response:
        assert 0 < len(body["inputs"]) <= 1000
        results, errors = [], []
        for one in body["inputs"]:
            targets = self.links.get(pair, {}).get(one["id"], [])
            start = int(one.get("after", 0))
            page = targets[start : start + self.links_a_page]
            if not page:
                context = {"fromObjectId": [one["id"]]}
                errors.append({"subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND", "context": context})
                continue
            result: dict[str, Any] = {"from": {"id": one["id"]}, "to": page}
            if start + len(page) < len(targets):
                result["paging"] = {"next": {"after": str(start + len(page))}}
            results.append(result)
        answer: dict[str, Any] = {"results": results} | ({"numErrors": len(errors), "errors": errors} if errors else {})
        return httpx.Response(207 if errors else 200, json=answer)


def at(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


def refusal(status: int, category: str, message: str = "", **more: object) -> httpx.Response:
    body = {"status": "error", "category": category, "message": message, **more}
    return httpx.Response(status, json=body)


def moment(value: str | None, when: datetime | str, source_type: str = "CRM_UI") -> dict[str, Any]:
    return {"value": value, "timestamp": iso(when) if isinstance(when, datetime) else when, "sourceType": source_type}


def _by_modification(row: Row) -> tuple[int, bytes]:
    """Rows of one millisecond come in an order of no use to anybody."""
    return row.modified_ms, _shuffled(row.id)


@cache
def _shuffled(row_id: str) -> bytes:
    return sha256(row_id.encode()).digest()


def _all(tests: Sequence[Callable[[Row], bool]]) -> Callable[[Row], bool]:
    return lambda row: all(test(row) for test in tests)


def _test(one: dict[str, Any], modified: str) -> Callable[[Row], bool]:
    match one["propertyName"], one["operator"]:
        case name, "GTE" if name == modified:
            low = int(one["value"])
            return lambda row: row.modified_ms >= low
        case name, "BETWEEN" if name == modified:
            low, high = int(one["value"]), int(one["highValue"])
            assert low <= high
            return lambda row: low <= row.modified_ms <= high
        case name, "EQ" if name == modified:
            low = int(one["value"])
            return lambda row: row.modified_ms == low
        case name, "HAS_PROPERTY":
            return lambda row: bool(row.properties.get(name))
        case "hs_object_id", "GT":
            low = int(one["value"])
            return lambda row: int(row.id) > low
        case "hs_object_id", "NOT_IN":
            assert 0 < len(one["values"]) <= 100
            ids = set(one["values"])
            return lambda row: row.id not in ids
        case _:
            raise AssertionError(f"HubSpot refuses the filter {one}")


def nothing_stored() -> Stored:
    async def unchanged(kind: ObjectKind, rows: Mapping[str, datetime]) -> frozenset[str]:
        return frozenset()

    async def known(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
        return frozenset()

    return Stored(unchanged, known)


def everything_stored() -> Stored:
    async def unchanged(kind: ObjectKind, rows: Mapping[str, datetime]) -> frozenset[str]:
        return frozenset(rows)

    async def known(kind: ObjectKind, ids: Sequence[str]) -> frozenset[str]:
        return frozenset(ids)

    return Stored(unchanged, known)


def people_stored() -> Stored:
    return Stored(nothing_stored().unchanged, everything_stored().known)


async def read(
    account: Account,
    window: Window,
    selection: Selection = SELECTION,
    stored: Stored | None = None,
    **more: str,
) -> list[Page]:
    """All pages of a window; `more` are settings, such as `page_rows`, of which a page holds five times as many."""
    return [page async for page in account.source(**more).changes(window, selection, stored or nothing_stored())]


def ids_in(pages: Sequence[Page], kind: ObjectKind) -> list[str]:
    return [record.ref.external_id for page in pages for record in page.records if record.ref.kind is kind]
