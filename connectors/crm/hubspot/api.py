"""The calls of HubSpot's API that the source makes: paths, limits of a call, partial answers. No meaning is read here."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.contract.errors import Effect, RequestRefused, Unavailable
from connectors.contract.records import ObjectKind
from connectors.crm.hubspot.objects import OBJECTS
from connectors.crm.hubspot.portions import Portion
from connectors.crm.hubspot.records import Association, association_of, row_id
from connectors.crm.hubspot.refusals import OBJECT_NOT_FOUND
from connectors.crm.hubspot.replies import json_object, json_objects, record_id, unexpected
from connectors.crm.hubspot.search import Keyset, SearchPage, read_page, search_body
from connectors.http.client import HttpClient, Params, Reply
from connectors.http.strict_json import Json, is_true

SEARCH = "search"
IDS_A_READ = 100
IDS_A_READ_WITH_HISTORY = 50
IDS_AN_ASSOCIATION_READ = 1000
ROWS_A_LIST = 100
NOT_FOUND = 404

# Without names HubSpot gives its default properties, personal ones among them.
_ONLY_IDS: Mapping[str, str] = {"properties": "hs_object_id"}

# Errors of one input that mean "there is none", not "try again".
_ABSENT = (OBJECT_NOT_FOUND, "NO_ASSOCIATIONS_FOUND")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a batch call gave, and which inputs failed for a reason that may pass."""

    results: Sequence[Json]
    failed: tuple[str, ...]
    code: str


class HubSpotApi:
    """One account."""

    def __init__(self, http: HttpClient, version: str) -> None:
        self._http = http
        self._version = version
        self._searches = Portion()
        self._reads = Portion()

    async def get(self, product: str, path: str, params: Params | None = None) -> Json:
        """Read `/product/version/path`."""
        reply = await self._http.read("GET", f"/{product}/{self._version}/{path}", params=params)
        return _found(reply)

    async def search(
        self, kind: ObjectKind, keyset: Keyset, until_ms: int | None, limit: int, only_where_set: Collection[str] = ()
    ) -> tuple[SearchPage, datetime | None]:
        """The first page of the keyset's query, and the server's clock; fewer rows than `limit` after HubSpot gave up."""
        path = f"/crm/objects/{self._version}/{OBJECTS[kind].path}/search"
        rows = self._searches.of(limit)
        body = search_body(kind, keyset, until_ms, rows, only_where_set)
        reply = await self._searches.watch(self._http.read("POST", path, json=body, budget=SEARCH))
        return read_page(kind, _found(reply), rows), reply.date

    async def batch_read(
        self,
        kind: ObjectKind,
        ids: Sequence[str],
        properties: frozenset[str],
        histories: frozenset[str] = frozenset(),
        *,
        archived: bool = False,
    ) -> Mapping[str, Json]:
        """The rows of these ids that HubSpot shows, by their own id (of a merged one: the winner's)."""
        path = f"/crm/objects/{self._version}/{OBJECTS[kind].path}/batch/read"
        asked = {"properties": sorted(properties), "propertiesWithHistory": sorted(histories)}
        params = {"archived": "true" if archived else "false"}
        rows: dict[str, Json] = {}
        for part in _parts(ids, self._reads.of(IDS_A_READ_WITH_HISTORY if histories else IDS_A_READ)):
            inputs = [{"id": one} for one in part]
            read = await self._reads.watch(self._batch(path, asked, inputs, params))
            rows.update((row_id(row), row) for row in read)
        return rows

    async def batch_update(self, kind: ObjectKind, inputs: Sequence[Json]) -> Json:
        """Write properties, once; the answer holds results and errors with the trace ids of their inputs."""
        path = f"/crm/objects/{self._version}/{OBJECTS[kind].path}/batch/update"
        return _found(await self._http.send("POST", path, json={"inputs": list(inputs)}))

    async def shown_as(self, kind: ObjectKind, one: str) -> str | None:
        """The id under which HubSpot shows a record: of a merged one the winner's; None where it shows none."""
        try:
            row = await self.get("crm/objects", f"{OBJECTS[kind].path}/{one}", _ONLY_IDS)
        except RequestRefused as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return row_id(row)

    async def archived(self, kind: ObjectKind, after: str | None) -> tuple[Sequence[str], str | None]:
        """One page of the recycle bin: the ids, and the cursor of the next page."""
        params = {**_ONLY_IDS, "archived": "true", "limit": str(ROWS_A_LIST)}
        found = await self.get("crm/objects", OBJECTS[kind].path, params if after is None else {**params, "after": after})
        rows = json_objects(found.get("results"), "`results`")
        onward = _after(found, "a list's")
        if onward is not None and onward == after:
            raise unexpected("a list of archived records does not move on")
        return [row_id(row) for row in rows if is_true(row.get("archived")) or row.get("archivedAt")], onward

    async def associations(self, kind: ObjectKind, ids: Sequence[str], to: ObjectKind) -> Mapping[str, list[Association]]:
        """The associated records of each id; ids without any are missing."""
        path = f"/crm/associations/{self._version}/{OBJECTS[kind].path}/{OBJECTS[to].path}/batch/read"
        found: dict[str, dict[str, Association]] = defaultdict(dict)
        inputs = [{"id": one} for one in ids]
        while inputs:
            onward: list[dict[str, str]] = []
            for part in _parts(inputs, IDS_AN_ASSOCIATION_READ):
                for result in await self._batch(path, {}, part):
                    from_id = record_id(json_object(result.get("from"), "`from`").get("id"), "`from.id`")
                    targets = [association_of(one) for one in json_objects(result.get("to"), "`to`")]
                    onward += _onward(from_id, result)
                    if _onward(from_id, result) and all(one.id in found[from_id] for one in targets):
                        raise unexpected("an association read does not move on")
                    found[from_id].update((one.id, one) for one in targets)
            inputs = onward
        return {from_id: list(targets.values()) for from_id, targets in found.items()}

    async def _batch(
        self, path: str, body: Json, inputs: Sequence[Mapping[str, str]], params: Params | None = None
    ) -> Sequence[Json]:
        """One batch call; inputs that failed for a passing reason are asked once more, then the call has failed."""
        answer = await self._ask(path, body, inputs, params)
        if not answer.failed:
            return answer.results
        again = await self._ask(path, body, [one for one in inputs if one["id"] in answer.failed], params)
        if again.failed:
            message = (
                f"HubSpot could not read {len(again.failed)} of {len(inputs)} records ({again.code}); it will be asked again"
            )
            raise Unavailable(message, effect=Effect.NONE, code=again.code)
        return [*answer.results, *again.results]

    async def _ask(self, path: str, body: Json, inputs: Sequence[Mapping[str, str]], params: Params | None) -> _Answer:
        try:
            reply = await self._http.read("POST", path, json={**body, "inputs": list(inputs)}, params=params)
        except RequestRefused as error:
            if error.status == NOT_FOUND and error.code == OBJECT_NOT_FOUND:
                return _Answer((), (), "")
            raise
        found = _found(reply)
        results = json_objects(found.get("results"), "`results`")
        return _partial(found, results, [one["id"] for one in inputs])


def _found(reply: Reply) -> Json:
    return json_object(reply.body, "the body")


def _parts(items: Sequence, size: int) -> Iterator[Sequence]:  # type: ignore[type-arg]
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _onward(from_id: str, result: Json) -> list[dict[str, str]]:
    """The input that reads the rest of a record's associations."""
    after = _after(result, "an association's")
    return [{"id": from_id, "after": after}] if after else []


def _after(page: Json, whose: str) -> str | None:
    """The cursor of the page after this one."""
    paging = json_object(page.get("paging") or {}, f"{whose} `paging`")
    after = json_object(paging.get("next") or {}, f"{whose} `paging.next`").get("after")
    return str(after) if after else None


def _partial(body: Json, results: Sequence[Json], asked: Sequence[str]) -> _Answer:
    """Which inputs failed and may be asked again; an absent record is no failure."""
    answered = {str(row.get("id") or _from_id(row)) for row in results}
    unanswered = [one for one in asked if one not in answered]
    failed: dict[str, str] = {}
    errors = json_objects(body.get("errors"), "`errors`")
    absent: set[str] = set()
    for error in errors:
        code = str(error.get("subCategory") or error.get("category") or "UNKNOWN")
        named = named_ids(error, unanswered)
        if any(code.endswith(one) for one in _ABSENT) or str(error.get("category")) in _ABSENT:
            absent.update(named)
        else:
            failed.update(dict.fromkeys(named or unanswered, code))
    if not errors and body.get("numErrors"):
        failed.update(dict.fromkeys(unanswered, "UNKNOWN"))
    still = tuple(one for one in failed if one not in absent)
    return _Answer(results, still, failed[still[0]] if still else "")


def _from_id(row: Json) -> object:
    origin = row.get("from")
    return origin.get("id") if isinstance(origin, Mapping) else None


def named_ids(error: Json, among: Sequence[str]) -> list[str]:
    """The inputs that an error names in its context."""
    context = error.get("context")
    if not isinstance(context, Mapping):
        return []
    listed = [value for values in context.values() for value in (values if isinstance(values, list) else [values])]
    texts = {str(value) for value in listed}
    return [one for one in among if one in texts]
