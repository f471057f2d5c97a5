"""Paging: keyset cursors of API v2 and of changelogs (opaque base64), and offsets of v1."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from connectors.simulators.pipedrive.calls import Answer, Call
from connectors.simulators.pipedrive.errors import Json, bad_request
from connectors.simulators.pipedrive.instants import SECOND, parse_rfc3339, rfc3339
from connectors.simulators.pipedrive.rows import Row
from connectors.simulators.pipedrive.shelf import ID_SPACE, Shelf, update_key

Key = tuple[int, int]
SORTS = ("id", "update_time", "add_time")
DIRECTIONS = ("asc", "desc")
_BEYOND = 1 << 80


def keyset(call: Call, shelf: Shelf, is_wanted: Callable[[Row], bool]) -> tuple[list[Row], str | None]:
    """One page of rows by `sort_by`, `sort_direction`, `updated_since`, `updated_until`, `limit` and `cursor`."""
    sort, is_down, limit = call.choice("sort_by", SORTS), call.choice("sort_direction", DIRECTIONS) == "desc", call.limit()
    since, until = call.instant("updated_since"), call.instant("updated_until")
    after = _place(call, sort, "desc" if is_down else "asc")

    def is_in(row: Row) -> bool:
        at_ms = row.update_time // SECOND * SECOND
        return (since is None or at_ms >= since) and (until is None or at_ms < until) and is_wanted(row)

    if sort == "update_time":
        rows = _by_update(shelf, after, (since, until), is_down=is_down)
    else:
        rows = _by_other(shelf, sort, after, is_down=is_down)
    page = list(islice((row for row in rows if is_in(row)), limit + 1))
    if len(page) <= limit:
        return page, None
    page = page[:limit]
    return page, _cursor(sort, "desc" if is_down else "asc", page[-1])


def offset(call: Call, rows: Sequence[Row], write: Callable[[Row], Json]) -> Answer:
    """One page of v1 by `start` and `limit`."""
    start, limit = call.number("start") or 0, call.limit()
    page = [write(row) for row in rows[start : start + limit]]
    return offset_answer(call, page, start, limit, has_more=start + limit < len(rows))


def offset_answer(call: Call, page: list[Json], start: int, limit: int, *, has_more: bool) -> Answer:
    """A page of v1, with its paging where this company puts it."""
    paging: Json = {"start": start, "limit": limit, "more_items_in_collection": has_more}
    if has_more:
        paging["next_start"] = start + limit
    told = {"pagination": paging} if call.company.has_nested_paging else paging
    return Answer({"success": True, "data": page, "additional_data": told})


def seal(text: str) -> str:
    """Base64 without padding, as cursors are."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unseal(cursor: str) -> str:
    """The text in a cursor; 400 for one that never came from here."""
    try:
        return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError as error:
        raise bad_request("Invalid cursor") from error


def _by_update(shelf: Shelf, after: Key | None, window: tuple[int | None, int | None], *, is_down: bool) -> Iterator[Row]:
    since, until = window
    lowest = -(-since // SECOND) * ID_SPACE if since is not None else 0
    highest = -(-until // SECOND) * ID_SPACE if until is not None else _BEYOND
    key = None if after is None else after[0] * ID_SPACE + after[1]
    if is_down:
        return shelf.down(shelf.by_update, highest if key is None else min(key, highest))
    return _below(shelf.up(shelf.by_update, lowest if key is None else max(key + 1, lowest)), highest)


def _below(rows: Iterable[Row], highest: int) -> Iterator[Row]:
    """Rows until one lies beyond the window; a row that is shown late lies where its shown version does."""
    for row in rows:
        if update_key(row) >= highest:
            return
        yield row


def _by_other(shelf: Shelf, sort: str, after: Key | None, *, is_down: bool) -> Iterator[Row]:
    if sort == "id":
        if is_down:
            return shelf.down(shelf.ids, _BEYOND if after is None else after[1])
        return shelf.up(shelf.ids, 0 if after is None else after[1] + 1)
    rows = sorted(shelf.up(shelf.ids, 0), key=lambda row: (row.add_time // SECOND, row.id), reverse=is_down)
    return (row for row in rows if after is None or _is_past((row.add_time // SECOND, row.id), after, is_down=is_down))


def _is_past(key: Key, after: Key, *, is_down: bool) -> bool:
    return key < after if is_down else key > after


def _cursor(sort: str, direction: str, row: Row) -> str:
    value = row.id if sort == "id" else rfc3339(getattr(row, sort))
    told = {"field": sort, "fieldValue": value, "sortDirection": direction, "id": row.id}
    return seal(json.dumps(told, separators=(",", ":")))


def _place(call: Call, sort: str, direction: str) -> Key | None:
    cursor = call.first("cursor")
    if cursor is None:
        return None
    try:
        told = json.loads(unseal(cursor))
        value = told["fieldValue"]
        key = value if sort == "id" else parse_rfc3339(value) // SECOND
        if (told["field"], told["sortDirection"]) != (sort, direction):
            raise bad_request("The cursor belongs to another sorting")
        return int(key), int(told["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request("Invalid cursor") from error
