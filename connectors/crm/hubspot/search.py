"""Keyset windows over HubSpot's search, pure: which query comes next, and where a committed page is gone on from.

Offsets are never used, so the cap of 10,000 results does not matter. Rows of one millisecond are told apart by the ids
that were seen; where these become too many for a filter, that millisecond alone is read by ascending id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from connectors.contract.errors import Effect, RequestRefused, UnexpectedReply
from connectors.contract.records import ObjectKind

PAGE_ROWS = 200
MOST_SEEN = 100

_ID = "hs_object_id"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a window is read on: from millisecond `at`, without the ids `seen` there.

    With `after_id` only the millisecond `at` is read, ids above it in ascending order.
    """

    at: int
    seen: frozenset[str] = frozenset()
    after_id: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a search: the record's id and its cursor property in epoch milliseconds."""

    id: str
    at: int


def cursor_property(kind: ObjectKind) -> str:
    """The property that moves with every modification."""
    return "lastmodifieddate" if kind is ObjectKind.CONTACT else "hs_lastmodifieddate"


def to_ms(instant: datetime) -> int:
    """Epoch milliseconds."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """Aware UTC."""
    return _EPOCH + milliseconds * _MILLISECOND


def parse_instant(text: object) -> datetime:
    """An ISO instant or epoch milliseconds as aware UTC, cut to milliseconds; UnexpectedReply where it is neither."""
    try:
        if isinstance(text, int) or (isinstance(text, str) and text.lstrip("-").isdigit()):
            return from_ms(int(text))
        parsed = datetime.fromisoformat(str(text))
    except (ValueError, OverflowError):
        raise UnexpectedReply("HubSpot gave an instant that cannot be read", effect=Effect.NONE) from None
    return from_ms(to_ms(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)))


def query(kind: ObjectKind, position: Position, until: int | None) -> Json:
    """The body of the next search."""
    cursor = cursor_property(kind)
    groups: list[list[Json]] = []
    sort = cursor
    instant: Json = {"propertyName": cursor, "operator": "EQ", "value": str(position.at)}
    if position.after_id is not None:
        groups.append([instant, {"propertyName": _ID, "operator": "GT", "value": str(position.after_id)}])
        sort = _ID
    elif position.seen:
        groups.append([instant, {"propertyName": _ID, "operator": "NOT_IN", "values": sorted(position.seen)}])
        if until is None or position.at < until:
            groups.append([_span(cursor, position.at + 1, until)])
    else:
        groups.append([_span(cursor, position.at, until)])
    return {
        "filterGroups": [{"filters": filters} for filters in groups],
        "sorts": [{"propertyName": sort, "direction": "ASCENDING"}],
        "properties": [cursor],
        "limit": PAGE_ROWS,
    }


def read_rows(kind: ObjectKind, body: Mapping[str, object]) -> tuple[list[Row], bool]:
    """The rows of a search's answer, and whether there are more."""
    results = body.get("results")
    if not isinstance(results, list):
        raise UnexpectedReply("HubSpot answered a search without results", effect=Effect.NONE)
    rows = [_row(kind, one) for one in results]
    total = body.get("total")
    is_all = isinstance(total, int) and total <= len(rows)
    is_short = len(rows) < PAGE_ROWS and not body.get("paging")
    return rows, bool(rows) and not is_all and not is_short


def unseen(position: Position, rows: Sequence[Row], until: int) -> list[Row]:
    """The rows of an answer that belong to the window and were not in a page before."""
    return [row for row in rows if row.at <= until and not (row.at == position.at and row.id in position.seen)]


def following(position: Position, rows: Sequence[Row], until: int, *, has_more: bool) -> Position | None:
    """Where to read on after an answer, None at the window's end."""
    if position.after_id is not None:
        if not has_more:
            return Position(position.at + 1) if position.at < until else None
        last_id = max(int(row.id) for row in rows)
        found = Position(position.at, frozenset(one for one in position.seen if int(one) > last_id), last_id)
    else:
        if not has_more or rows[-1].at > until:
            return None
        last = max(position.at, rows[-1].at)
        seen = frozenset(row.id for row in rows if row.at == last)
        if last == position.at:
            seen |= position.seen
        # HubSpot promises no order within a millisecond: ids are then read from the lowest on.
        found = Position(last, seen, 0 if len(seen) > MOST_SEEN else None)
    if found == position:
        raise UnexpectedReply("HubSpot's search gives the same rows again", effect=Effect.NONE)
    return found


def to_resume(position: Position | None) -> str | None:
    """The position as the text that is stored with a committed page."""
    if position is None:
        return None
    body: Json = {"at": position.at, "seen": sorted(position.seen)}
    if position.after_id is not None:
        body["after_id"] = str(position.after_id)
    return orjson.dumps(body).decode()


def from_resume(text: str) -> Position:
    """The position that `to_resume` wrote; RequestRefused for any other text."""
    try:
        body = orjson.loads(text)
        after_id = body.get("after_id")
        seen = frozenset(str(one) for one in body.get("seen", ()))
        return Position(int(body["at"]), seen, None if after_id is None else int(after_id))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise RequestRefused("The stored position is none of HubSpot's search; read the window from its start") from None


def _span(cursor: str, low: int, high: int | None) -> Json:
    if high is None:
        return {"propertyName": cursor, "operator": "GTE", "value": str(low)}
    return {"propertyName": cursor, "operator": "BETWEEN", "value": str(low), "highValue": str(high)}


def _row(kind: ObjectKind, one: object) -> Row:
    properties = one.get("properties") if isinstance(one, dict) else None
    if not isinstance(one, dict) or not isinstance(properties, dict) or not str(one.get("id", "")).isdigit():
        raise UnexpectedReply("HubSpot's search gave a row without id and properties", effect=Effect.NONE)
    return Row(str(one["id"]), to_ms(parse_instant(properties.get(cursor_property(kind)) or one.get("updatedAt"))))
