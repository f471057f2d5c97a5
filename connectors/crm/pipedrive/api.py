"""The calls of Pipedrive's API that the connector makes: paths, limits of a call, their price. No meaning is read here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.contract.errors import RequestRefused
from connectors.contract.records import ObjectKind
from connectors.crm.pipedrive.budget import Call, TokenBudget
from connectors.crm.pipedrive.objects import EVERY_STATUS, OBJECTS, V1, V2
from connectors.crm.pipedrive.refusals import GONE
from connectors.crm.pipedrive.replies import json_object, json_objects, unexpected
from connectors.http.client import HttpClient, Params, Reply
from connectors.http.strict_json import Json, is_true

PAGE_ROWS = 500
IDS_A_READ = 100
CHANGELOG_LINES = 100

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list. `cursor` leads to the next one, where the list has cursors; `has_more` says it where it has offsets."""

    rows: Sequence[Json]
    cursor: str | None = None
    has_more: bool = False
    date: datetime | None = None


class PipedriveApi:
    """One company."""

    def __init__(self, http: HttpClient, budget: TokenBudget) -> None:
        self._http = http
        self._budget = budget

    async def page(self, kind: ObjectKind, query: Query, *, is_archive: bool = False) -> ListPage:
        """One page of a list of v2, newest and oldest in the query's order; deleted deals are among them."""
        facts = OBJECTS[kind]
        path = facts.archive if is_archive and facts.archive else facts.path
        everything = {"status": EVERY_STATUS} if kind is ObjectKind.DEAL else {}
        call = Call.ARCHIVED_DEALS if is_archive else Call.LIST
        return await self._cursor_page(call, path, {"limit": str(PAGE_ROWS), **everything, **query})

    async def by_ids(self, kind: ObjectKind, ids: Sequence[str], query: Query) -> Sequence[Json]:
        """The rows of at most a hundred ids; those that are gone, archived or not visible are silently left out."""
        return (await self.page(kind, {**query, "ids": ",".join(ids), "limit": str(IDS_A_READ)})).rows

    async def one(self, kind: ObjectKind, one: str, query: Query) -> Json | None:
        """One record, archived ones too; None where Pipedrive shows none."""
        if kind is ObjectKind.LEAD:
            return await self._found(Call.ONE_LEAD, f"{V1}/leads/{one}")
        return await self._found(Call.ONE, f"{V2}/{OBJECTS[kind].path}/{one}", query)

    async def leads(self, query: Query, *, is_archive: bool) -> ListPage:
        """One page of the leads inbox or its archive, by offset."""
        call, path = (Call.ARCHIVED_LEADS, "leads/archived") if is_archive else (Call.LEADS, "leads")
        return await self._offset_page(call, path, {"limit": str(PAGE_ROWS), **query}, PAGE_ROWS)

    async def changelog(self, kind: ObjectKind, one: str, cursor: str | None) -> ListPage | None:
        """A page of a record's changes; None where Pipedrive shows no such record. The first call carries no cursor."""
        path = f"{V1}/{OBJECTS[kind].path}/{one}/changelog"
        query = {"limit": str(CHANGELOG_LINES)} | ({} if cursor is None else {"cursor": cursor})
        try:
            reply = await self._read(Call.CHANGELOG, path, query)
        except RequestRefused as error:
            if error.status in GONE:
                return None
            raise
        return _cursor_page(reply, "a changelog", cursor)

    async def me(self) -> Json:
        """The user whose token it is, and the company."""
        reply = await self._read(Call.ME, f"{V1}/users/me")
        return json_object(_body(reply).get("data"), "the `data` of users/me")

    async def all_of(self, call: Call, path: str) -> Sequence[Json]:
        """A whole list of v2: fields, pipelines, stages."""
        rows: list[Json] = []
        cursor: str | None = None
        while True:
            query = {"limit": str(PAGE_ROWS)} | ({} if cursor is None else {"cursor": cursor})
            page = await self._cursor_page(call, path, query)
            rows += page.rows
            if page.cursor is None:
                return rows
            cursor = page.cursor

    async def all_of_v1(self, call: Call, path: str) -> Sequence[Json]:
        """A whole list of v1: lead fields, lead labels, currencies, webhooks."""
        rows: list[Json] = []
        while True:
            query = {"start": str(len(rows))} if rows else {}
            page = await self._offset_page(call, path, query, None)
            rows += page.rows
            if not page.has_more or not page.rows:
                return rows

    async def change(self, call: Call, path: str, body: Json) -> Json:
        """Update a record; sent once."""
        reply = await self._http.send("PATCH", path, json=body)
        return self._taken(call, reply)

    async def add_webhook(self, body: Json) -> Json:
        """Subscribe."""
        return self._taken(Call.ADD_WEBHOOK, await self._http.send("POST", f"{V1}/webhooks", json=body))

    async def remove_webhook(self, one: str) -> None:
        """Unsubscribe; one that is gone already is no error."""
        try:
            reply = await self._http.send("DELETE", f"{V1}/webhooks/{one}")
        except RequestRefused as error:
            if error.status not in GONE:
                raise
            return
        self._budget.spend(Call.REMOVE_WEBHOOK, reply.headers)

    async def _cursor_page(self, call: Call, path: str, query: Query) -> ListPage:
        reply = await self._read(call, f"{V2}/{path}", query)
        return _cursor_page(reply, path, query.get("cursor"))

    async def _offset_page(self, call: Call, path: str, query: Query, rows_asked: int | None) -> ListPage:
        """`rows_asked`: where Pipedrive says nothing of more, a full page means that there may be."""
        reply = await self._read(call, f"{V1}/{path}", query)
        body = _body(reply)
        rows = json_objects(body.get("data"), f"the `data` of {path}")
        about = body.get("additional_data")
        pages = about.get("pagination", about) if isinstance(about, Mapping) else None
        told = pages.get("more_items_in_collection") if isinstance(pages, Mapping) else None
        has_more = is_true(told) if isinstance(told, bool) else rows_asked is not None and len(rows) >= rows_asked
        return ListPage(rows, has_more=has_more, date=reply.date)

    async def _found(self, call: Call, path: str, query: Query | None = None) -> Json | None:
        try:
            reply = await self._read(call, path, query)
        except RequestRefused as error:
            if error.status in GONE:
                return None
            raise
        data = _body(reply).get("data")
        return None if data is None else json_object(data, "the `data` of a record")

    async def _read(self, call: Call, path: str, params: Params | None = None) -> Reply:
        reply = await self._http.read("GET", path, params=params)
        self._budget.spend(call, reply.headers)
        return reply

    def _taken(self, call: Call, reply: Reply) -> Json:
        self._budget.spend(call, reply.headers)
        return _body(reply)


def _cursor_page(reply: Reply, what: str, before: str | None) -> ListPage:
    body = _body(reply)
    if "data" not in body:
        raise unexpected(f"{what} has no `data`")
    about = body.get("additional_data")
    onward = about.get("next_cursor") if isinstance(about, Mapping) else None
    if onward is not None and (not isinstance(onward, str) or onward == before):
        raise unexpected(f"{what} does not move on")
    return ListPage(json_objects(body["data"], f"the `data` of {what}"), onward or None, bool(onward), reply.date)


def _body(reply: Reply) -> Json:
    body = json_object(reply.body, "the body")
    if body.get("success") is False:
        raise unexpected("an answer of status 200 says that it failed")
    return body
