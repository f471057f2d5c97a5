"""All rows of one kind, ordered by id and by update time, with the versions that readers see late."""

import copy
import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import islice

from connectors.simulators.pipedrive.instants import SECOND
from connectors.simulators.pipedrive.rows import Row

ID_SPACE = 1 << 32


def update_key(row: Row) -> int:
    """One number that orders rows by (update second, id)."""
    return row.update_time // SECOND * ID_SPACE + row.id


class Shelf:
    """Rows by id. Keys are single numbers in sorted lists, so 300,000 rows cost little beside themselves."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.ids: list[int] = []
        self.by_update: list[int] = []
        self._behind: dict[int, tuple[int, Row | None]] = {}
        self._late: list[tuple[int, int]] = []

    def put(self, row: Row, visible_ms: int | None = None) -> None:
        """Take in a new row; given `visible_ms`, readers see nothing of it before."""
        self.rows[row.id] = row
        insort(self.ids, row.id)
        if visible_ms is None:
            insort(self.by_update, update_key(row))
        else:
            self._postpone(row.id, visible_ms, None)

    def before(self, row: Row) -> Row:
        """The row as it stands, to be handed back to `moved` after a change."""
        return copy.copy(row)

    def moved(self, before: Row, row: Row, visible_ms: int | None = None) -> None:
        """Reindex a row that changed; given `visible_ms`, readers see it as it was before until then."""
        is_behind = row.id in self._behind
        if visible_ms is not None:
            shown = self._behind[row.id][1] if is_behind else before
            self._postpone(row.id, visible_ms, shown)
            return
        if is_behind:
            self._publish(row.id)
        else:
            self._reindex(before, row)

    def seen(self, row_id: int) -> Row | None:
        """A row as readers see it (after `catch_up`); None where it is unknown or not yet shown."""
        if row_id in self._behind:
            return self._behind[row_id][1]
        return self.rows.get(row_id)

    def catch_up(self, now_ms: int) -> None:
        """Show what is due."""
        while self._late and self._late[0][0] <= now_ms:
            _, row_id = heapq.heappop(self._late)
            if row_id in self._behind and self._behind[row_id][0] <= now_ms:
                self._publish(row_id)

    def up(self, keys: list[int], lowest: int) -> Iterator[Row]:
        """Rows as readers see them, by rising key from `lowest` on; `keys` is `ids` or `by_update`."""
        return self._shown(islice(keys, bisect_left(keys, lowest), None))

    def down(self, keys: list[int], highest: int) -> Iterator[Row]:
        """The same by falling key, from below `highest`."""
        return self._shown(keys[at] for at in range(bisect_left(keys, highest) - 1, -1, -1))

    def _shown(self, keys: Iterator[int]) -> Iterator[Row]:
        for key in keys:
            row = self.seen(key % ID_SPACE)
            if row is not None:
                yield row

    def _postpone(self, row_id: int, visible_ms: int, shown: Row | None) -> None:
        until = max(visible_ms, self._behind[row_id][0]) if row_id in self._behind else visible_ms
        self._behind[row_id] = (until, shown)
        heapq.heappush(self._late, (until, row_id))

    def _publish(self, row_id: int) -> None:
        _, shown = self._behind.pop(row_id)
        self._reindex(shown, self.rows[row_id])

    def _reindex(self, before: Row | None, row: Row) -> None:
        if before is not None:
            if update_key(before) == update_key(row):
                return
            del self.by_update[bisect_left(self.by_update, update_key(before))]
        insort(self.by_update, update_key(row))
