"""`/query` and `/queryAll`: pages of rows, and the locators by which the next ones are asked for."""

import re
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from connectors.simulators.salesforce.calls import Answer, Call
from connectors.simulators.salesforce.catalogue import ObjectType
from connectors.simulators.salesforce.errors import Json, dead_locator, malformed, query_timeout, refusal
from connectors.simulators.salesforce.evaluation import Evaluator, Path
from connectors.simulators.salesforce.ids import make_id
from connectors.simulators.salesforce.soql import parsed
from connectors.simulators.salesforce.table import Row
from connectors.simulators.salesforce.values import writer

if TYPE_CHECKING:
    from connectors.simulators.salesforce.org import Org

MOST_ROWS = 2000
FEWEST_ROWS = 200
MOST_WIDE_ROWS = 200  # where two long texts are selected
MOST_OPEN = 10
LOCATOR_LIFE = timedelta(days=2)
_LOCATOR = re.compile(r"(?P<id>01g\w{15})-(?P<offset>\d+)")
_BATCH_SIZE = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Rows that a query found; their values are those of the moment when a page is asked for."""

    kind: ObjectType
    paths: tuple[Path, ...]
    rows: Sequence[Row]
    evaluator: Evaluator
    opened_at: datetime


class Locators:
    """The cursors of one user: the oldest dies when an eleventh is opened, each dies after two days.

    One that was read to its end does not count as open, and its pages may still be read again.
    """

    def __init__(self) -> None:
        self.open: OrderedDict[str, Cursor] = OrderedDict()
        self.drained: OrderedDict[str, Cursor] = OrderedDict()
        self._count = 0

    def add(self, cursor: Cursor) -> str:
        """A locator for a cursor."""
        self._count += 1
        locator = make_id("01g", self._count)
        self.open[locator] = cursor
        if len(self.open) > MOST_OPEN:
            self.open.popitem(last=False)
        return locator

    def get(self, locator: str, now: datetime) -> Cursor:
        """The cursor of a locator, or 400 INVALID_QUERY_LOCATOR."""
        found = self.open.get(locator) or self.drained.get(locator)
        if found is None or now >= found.opened_at + LOCATOR_LIFE:
            raise dead_locator()
        return found

    def close(self, locator: str) -> None:
        """Note that a cursor was read to its end."""
        cursor = self.open.pop(locator, None)
        if cursor is not None:
            self.drained[locator] = cursor
            if len(self.drained) > MOST_OPEN:
                self.drained.popitem(last=False)

    def kill(self) -> None:
        """Let every locator die."""
        self.open.clear()
        self.drained.clear()


def run(call: Call, locators: Locators, *, with_deleted: bool) -> Answer:
    """`GET /query?q=` and `/queryAll?q=`: the first page."""
    if "q" not in call.query:
        raise malformed("Must specify a query with 'q'")
    query = parsed(call.query["q"])
    evaluator = Evaluator(call.org.schema, with_deleted=with_deleted)
    kind = evaluator.kind(query.entity)
    paths = tuple(evaluator.path(kind, one) for one in query.paths)
    _check_once(paths)
    rows = evaluator.rows(query)
    if call.org.slow_rows is not None and len(rows) > call.org.slow_rows:
        raise query_timeout()
    if not query.paths:
        return Answer({"totalSize": len(rows), "done": True, "records": []})
    cursor = Cursor(kind, paths, rows, evaluator, call.now)
    page = rows[: _page_rows(call.org, call.headers, paths)]
    return Answer(_told(call, cursor, page, locators.add(cursor) if len(page) < len(rows) else None))


def more(call: Call, locators: Locators) -> Answer:
    """`GET /query/{locator}-{offset}`: a further page, the same one as often as it is asked for."""
    found = _LOCATOR.fullmatch(call.path[-1])
    if found is None:
        raise dead_locator()
    cursor, offset = locators.get(found["id"], call.now), int(found["offset"])
    if offset > len(cursor.rows):
        raise dead_locator()
    page = cursor.rows[offset : offset + _page_rows(call.org, call.headers, cursor.paths)]
    if offset + len(page) >= len(cursor.rows):
        locators.close(found["id"])
        return Answer(_told(call, cursor, page, None))
    return Answer(_told(call, cursor, page, found["id"], offset))


def told_row(call: Call, kind: ObjectType, paths: Sequence[Path], row: Row) -> Json:
    """One row with its attributes; parents as objects of their own, null where there is none."""
    return _Shape(call.root, kind, paths).told(row)


def entity_of(text: str) -> str:
    """The object of a query for the record of calls, as far as its text can be read."""
    found = re.search(r"\bfrom\s+(\w+)", text, re.IGNORECASE)
    return found[1] if found else ""


def _check_once(paths: Sequence[Path]) -> None:
    own = Counter(path.field.name for path in paths if len(path.steps) == 1)
    twice = next((name for name, count in own.items() if count > 1), None)
    if twice is not None:
        raise refusal(400, "INVALID_FIELD", f"duplicate field selected: {twice}")


def _page_rows(org: "Org", headers: Mapping[str, str], paths: Sequence[Path]) -> int:
    hint = _BATCH_SIZE.search(headers.get("sforce-query-options", ""))
    asked = min(max(int(hint[1]), FEWEST_ROWS), MOST_ROWS) if hint else MOST_ROWS
    if sum(path.field.type == "textarea" and path.field.is_custom for path in paths) > 1:
        asked = min(asked, MOST_WIDE_ROWS)
    match org.page_rows:
        case None:
            return asked
        case int() as most:
            return min(most, asked)
        case fewer:
            return max(1, min(fewer(asked), asked))


def _told(call: Call, cursor: Cursor, page: Sequence[Row], locator: str | None, offset: int = 0) -> Json:
    shape = _Shape(call.root, cursor.kind, cursor.paths)
    records = [shape.told(row) for row in filter(cursor.evaluator.shown(cursor.kind), page)]
    if locator is None:
        return {"totalSize": len(cursor.rows), "done": True, "records": records}
    next_url = f"{call.root}/query/{locator}-{offset + len(page)}"
    return {"totalSize": len(cursor.rows), "done": False, "nextRecordsUrl": next_url, "records": records}


class _Shape:
    """How the rows of one query are written."""

    def __init__(self, root: str, kind: ObjectType, paths: Sequence[Path]) -> None:
        self._root = root
        self._kind = kind
        self._own = [(path.field.name, path.column, writer(path.field)) for path in paths if len(path.steps) == 1]
        self._of_parents = [path for path in paths if len(path.steps) > 1]

    def told(self, row: Row) -> Json:
        record: Json = {"attributes": self._attributes(self._kind.name, row.id)}
        values = row.shown or ()
        for name, column, write in self._own:
            value = values[column] if column < len(values) else None
            record[name] = value if write is None else write(value)
        for path in self._of_parents:
            self._nest(record, row, path)
        return record

    def _nest(self, record: Json, row: Row, path: Path) -> None:
        for (_, link), (entity, _), parent_id in zip(path.steps, path.steps[1:], path.parent_ids(row), strict=False):
            if parent_id is None:
                record[link.relationship] = None
                return
            nested = record.setdefault(link.relationship, {"attributes": self._attributes(entity, parent_id)})
            if not isinstance(nested, dict):
                return
            record = nested
        value, write = path.get(row), writer(path.field)
        record[path.field.name] = value if write is None else write(value)

    def _attributes(self, name: str, record_id: str) -> Json:
        return {"type": name, "url": f"{self._root}/sobjects/{name}/{record_id}"}
