"""The keyset search of a window (pure): what to ask next, so that no row is missed however many share a millisecond.

HubSpot gives at most 10,000 rows for one query, so no query is read past its first page; the next one starts behind
the last row. Rows that change meanwhile only move towards the end.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from connectors.contract.records import ObjectKind
from connectors.crm.hubspot.objects import OBJECTS
from connectors.crm.hubspot.replies import instant, json_object, json_objects, record_id, unexpected
from connectors.http.strict_json import Json, to_ms

PAGE_ROWS = 200
# The most ids that a filter names; where more rows share a millisecond, that millisecond is read in the order of ids.
MOST_SEEN = 100
# HubSpot documents five groups of six filters, its specification other numbers: three of three fit either way.
MOST_GROUPS = 3

_Filter = dict[str, object]


@dataclass(frozen=True, slots=True)
class Keyset:
    """Where to go on: at the millisecond `at_ms`, without the rows `seen` there.

    `after_id` is set while one millisecond is read in the order of ids ("0" before its first row).
    """

    at_ms: int
    seen: tuple[str, ...] = ()
    after_id: str | None = None

    def to_text(self) -> str:
        """JSON text, to be stored with the page."""
        return orjson.dumps({"at": self.at_ms, "seen": self.seen, "after_id": self.after_id}).decode()

    @classmethod
    def from_text(cls, text: str) -> "Keyset | None":
        """Read what `to_text` wrote; None where it is unreadable (the window then starts over, which loses nothing)."""
        try:
            raw = orjson.loads(text)
            after_id = raw["after_id"]
            return cls(int(raw["at"]), tuple(map(str, raw["seen"])), None if after_id is None else str(int(after_id)))
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row that the search gave."""

    id: str
    modified_at: datetime

    @property
    def modified_ms(self) -> int:
        """Epoch milliseconds."""
        return to_ms(self.modified_at)


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One answer, in the order asked for. `is_short`: the query has no further rows."""

    rows: tuple[FoundRow, ...]
    is_short: bool


@dataclass(frozen=True, slots=True)
class Step:
    """What a page means: its rows to hand on, and where the window goes on (None: it is read)."""

    rows: tuple[FoundRow, ...]
    next: Keyset | None


def search_body(
    kind: ObjectKind, keyset: Keyset, until_ms: int | None, limit: int = PAGE_ROWS, only_where_set: Collection[str] = ()
) -> Json:
    """The query for the keyset; `until_ms` is None where the window's end is not known yet.

    `only_where_set`: rows that have none of these properties are left out, where so many fit into a query.
    """
    modified = OBJECTS[kind].modified
    by_id = keyset.after_id is not None
    return {
        "filterGroups": [{"filters": filters} for filters in _groups(modified, keyset, until_ms, only_where_set)],
        "sorts": [{"propertyName": "hs_object_id" if by_id else modified, "direction": "ASCENDING"}],
        "properties": [modified],
        "limit": limit,
    }


def _groups(modified: str, keyset: Keyset, until_ms: int | None, wanted: Collection[str]) -> Sequence[Sequence[_Filter]]:
    """One group of the keyset's filters, or one for each wanted property, as groups are joined by "or"."""
    base = _base(modified, keyset, until_ms)
    if not 0 < len(wanted) <= MOST_GROUPS:
        return [base]
    return [[*base, _filter(name, "HAS_PROPERTY")] for name in sorted(wanted)]


def _base(modified: str, keyset: Keyset, until_ms: int | None) -> Sequence[_Filter]:
    """At most two filters, so that one more fits beside them.

    The rows seen in the first millisecond are left out of the whole stretch. None is lost by that: the window's end was fixed
    before any row was seen, so a row that is changed after it was seen lies behind the end and is found by the next window.
    Where only the index was late, the row was read by its id, which shows what search does not show yet; and a row that was not
    read, as it was stored, is met again by the windows that overlap for the sake of late indexes.
    """
    if keyset.after_id is not None:
        return [_filter(modified, "EQ", value=str(keyset.at_ms)), _filter("hs_object_id", "GT", value=keyset.after_id)]
    if not keyset.seen:
        return [_from(modified, keyset.at_ms, until_ms)]
    return [_from(modified, keyset.at_ms, until_ms), _filter("hs_object_id", "NOT_IN", values=list(keyset.seen))]


def _from(modified: str, since_ms: int, until_ms: int | None) -> _Filter:
    if until_ms is None:
        return _filter(modified, "GTE", value=str(since_ms))
    return _filter(modified, "BETWEEN", value=str(since_ms), highValue=str(until_ms))


def _filter(name: str, operator: str, **operands: object) -> _Filter:
    return {"propertyName": name, "operator": operator, **operands}


def read_page(kind: ObjectKind, body: Json, limit: int = PAGE_ROWS) -> SearchPage:
    """HubSpot's answer to a search."""
    rows = tuple(_found(kind, row) for row in json_objects(body.get("results"), "the search's `results`"))
    total = body.get("total")
    if "results" not in body or not isinstance(total, int):
        raise unexpected("the search has no `results` or no `total`")
    paging = body.get("paging")
    has_next = isinstance(paging, Mapping) and bool(paging.get("next"))
    is_short = len(rows) >= total or not has_next
    if not is_short and not rows:
        raise unexpected(f"the search shows none of {total} rows")
    if len(rows) > limit:
        raise unexpected("the search gives more rows than were asked for")
    return SearchPage(rows, is_short)


def _found(kind: ObjectKind, row: Json) -> FoundRow:
    found_id = record_id(row.get("id"), "a found row's `id`")
    properties = json_object(row.get("properties") or {}, "a found row's `properties`")
    modified = OBJECTS[kind].modified
    return FoundRow(found_id, instant(properties.get(modified) or row.get("updatedAt"), f"a found row's `{modified}`"))


def advance(keyset: Keyset, page: SearchPage, until_ms: int) -> Step:
    """Which rows of the page are new, and where to go on."""
    if keyset.after_id is not None:
        return _advance_by_id(keyset, keyset.after_id, page, until_ms)
    if page.is_short or page.rows[-1].modified_ms > until_ms:
        return Step(page.rows, None)
    last_ms = page.rows[-1].modified_ms
    before = keyset.seen if last_ms == keyset.at_ms else ()
    here = tuple(row.id for row in page.rows if row.modified_ms == last_ms)
    seen = tuple(dict.fromkeys(before + here))
    if len(seen) > MOST_SEEN:
        earlier = tuple(row for row in page.rows if row.modified_ms != last_ms)
        return Step(earlier, _onward(keyset, Keyset(last_ms, before, after_id="0")))
    return Step(page.rows, _onward(keyset, Keyset(last_ms, seen)))


def _advance_by_id(keyset: Keyset, after_id: str, page: SearchPage, until_ms: int) -> Step:
    rows = tuple(row for row in page.rows if row.id not in keyset.seen)
    if page.is_short:
        return Step(rows, Keyset(keyset.at_ms + 1) if keyset.at_ms < until_ms else None)
    last_id = max((row.id for row in page.rows), key=int)
    if int(last_id) <= int(after_id):
        raise unexpected("the search does not move on from the last id")
    return Step(rows, Keyset(keyset.at_ms, keyset.seen, last_id))


def _onward(before: Keyset, after: Keyset) -> Keyset:
    """Refuses a search that would run in a circle."""
    if after.at_ms < before.at_ms or after == before:
        raise unexpected("the search does not move on from the last modification")
    return after
