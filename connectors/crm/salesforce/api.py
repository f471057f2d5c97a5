"""The calls of Salesforce's REST API that the source makes. Queries go in composites, which count as one request of the day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from connectors.contract.errors import ConnectorError
from connectors.crm.salesforce.budget import DailyBudget
from connectors.crm.salesforce.objects import IS_EARLY, MODIFIED
from connectors.crm.salesforce.refusals import TOO_LARGE, error_within
from connectors.crm.salesforce.replies import instant, json_object, json_objects, record_id, unexpected
from connectors.crm.salesforce.soql import Query
from connectors.http.client import HttpClient, Params, Reply
from connectors.http.strict_json import Json

QUERIES_A_COMPOSITE = 5
PARTS_A_COMPOSITE = 25
FAILED = 400
# So long after an instant a change may still be stamped with it: the rest of its second, and as much for clocks that differ.
STAMPS_ARE_OPEN = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Rows:
    """The first page of a query. A page may be short of its limit while more follow, as wide rows make small pages."""

    rows: Sequence[Json]
    is_complete: bool


class SalesforceApi:
    """One org."""

    def __init__(self, http: HttpClient, version: str, budget: DailyBudget) -> None:
        self._http = http
        self._budget = budget
        self.version = version
        self.root = f"/services/data/{version}"

    async def get(self, path: str, params: Params | None = None) -> object:
        """Read `/services/data/version/path`."""
        return (await self._read("GET", f"{self.root}/{path}", params=params)).body

    async def versions(self) -> Sequence[str]:
        """The API versions of the org, as `v67.0`."""
        reply = await self._read("GET", "/services/data/")
        return [f"v{row.get('version')}" for row in json_objects(reply.body, "the list of API versions")]

    async def parts(self, paths: Sequence[str]) -> tuple[list[object | ConnectorError], datetime | None]:
        """What a composite of GETs gives, each part's body or its error, in order; and the server's clock."""
        asked = [
            {"method": "GET", "url": f"{self.root}/{path}", "referenceId": f"part{place}"} for place, path in enumerate(paths)
        ]
        body = {"allOrNone": False, "compositeRequest": asked}
        reply = await self._read("POST", f"{self.root}/composite", json=body)
        answers = json_objects(json_object(reply.body, "a composite's body").get("compositeResponse"), "`compositeResponse`")
        by_reference = {str(one.get("referenceId")): _part(one) for one in answers}
        if len(answers) != len(paths) or any(one["referenceId"] not in by_reference for one in asked):
            raise unexpected("a composite does not answer each of its parts")
        return [by_reference[one["referenceId"]] for one in asked], reply.date

    async def queries(self, queries: Sequence[Query]) -> tuple[list[Rows | ConnectorError], datetime | None]:
        """The first page of at most five queries in one request, each rows or its error, and the server's clock."""
        found, at = await self.parts([query_path(one) for one in queries])
        return [
            one if isinstance(one, ConnectorError) else _dated(rows_of(one, query.limit), at)
            for one, query in zip(found, queries, strict=True)
        ], at

    async def all_rows(self, *asked: Sequence[Query]) -> list[list[Json]]:
        """Every row of each question (itself one or several queries ordered by id), five queries a request.

        Their rest is asked by keyset as well: a `nextRecordsUrl` costs as many requests, and dies. What is too large for
        Salesforce is asked again in halves. Raises the first other error.
        """
        found: list[list[Json]] = [[] for _ in asked]
        waiting = [(place, query) for place, queries in enumerate(asked) for query in queries]
        while waiting:
            now, waiting = waiting[:QUERIES_A_COMPOSITE], waiting[QUERIES_A_COMPOSITE:]
            answers, _ = await self.queries([query for _, query in now])
            for (place, query), answer in zip(now, answers, strict=True):
                if isinstance(answer, ConnectorError):
                    waiting += [(place, half) for half in _halves(query, answer)]
                    continue
                found[place] += answer.rows
                if not answer.is_complete:
                    waiting.append((place, query.after(_last_id(answer, query))))
        return found

    async def update(self, records: Sequence[Json], headers: Mapping[str, str]) -> Reply:
        """Write records, each by itself, in one request."""
        body = {"allOrNone": False, "records": records}
        reply = await self._http.send("PATCH", f"{self.root}/composite/sobjects", json=body, headers=headers)
        self._budget.seen(reply.headers)
        return reply

    async def _read(self, method: str, path: str, *, params: Params | None = None, json: object = None) -> Reply:
        reply = await self._http.read(method, path, params=params, json=json)
        self._budget.seen(reply.headers)
        return reply


def query_path(query: Query) -> str:
    """Where a query is asked."""
    return f"{'queryAll' if query.with_deleted else 'query'}?q={quote(query.text(), safe='')}"


def rows_of(body: object, limit: int | None = None) -> Rows:
    """A query's answer; where it holds as many rows as were asked for, more may follow."""
    found = json_object(body, "a query's answer")
    done = found.get("done")
    if not isinstance(done, bool) or not isinstance(found.get("records"), list):
        raise unexpected("a query's answer has no `records` or does not say whether it is `done`")
    rows = json_objects(found["records"], "`records`")
    return Rows(rows, done and (limit is None or len(rows) < limit))


def _dated(found: Rows, at: datetime | None) -> Rows:
    """Marks rows that may change again without a new stamp, which has whole seconds."""
    if at is None:
        return found
    oldest = at - STAMPS_ARE_OPEN
    rows = [
        {**row, IS_EARLY: True} if row.get(MODIFIED) and instant(row[MODIFIED], f"a row's `{MODIFIED}`") > oldest else row
        for row in found.rows
    ]
    return Rows(rows, found.is_complete)


def _part(answer: Json) -> object | ConnectorError:
    status = answer.get("httpStatusCode")
    if isinstance(status, bool) or not isinstance(status, int):
        raise unexpected("a part of a composite has no `httpStatusCode`")
    return answer.get("body") if status < FAILED else error_within(status, answer.get("body"))


def _halves(query: Query, error: ConnectorError) -> Sequence[Query]:
    halves = query.halves() if error.code in TOO_LARGE else None
    if halves is None:
        raise error
    return halves


def _last_id(found: Rows, query: Query) -> str:
    if not found.rows:
        raise unexpected(f"an answer on {query.of} is neither done nor has rows")
    return record_id(found.rows[-1].get("Id"), f"the `Id` of {query.of}")
