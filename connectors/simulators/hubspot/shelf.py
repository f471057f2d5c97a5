"""All records of one object type, with the search index over them, which may lag behind."""

import heapq
from bisect import bisect_left, insort

from connectors.simulators.hubspot.index import SortedKeys
from connectors.simulators.hubspot.records import StoredRecord, Version


class Shelf:
    """Records by id, ids in order (live and archived apart), and what search knows of them."""

    def __init__(self, object_type: str) -> None:
        self.object_type = object_type
        self.records: dict[int, StoredRecord] = {}
        self.live_ids: list[int] = []
        self.archived_ids: list[int] = []
        self.index = SortedKeys()
        self._late: list[tuple[int, int, StoredRecord, Version]] = []
        self._count = 0

    def put(self, record: StoredRecord) -> None:
        """Take in a new record, not yet shown by search."""
        self.records[record.id] = record
        insort(self.live_ids, record.id)

    def remove(self, record: StoredRecord) -> None:
        """Drop a record for good: merged away or erased."""
        self.unindex(record)
        del self.records[record.id]
        _discard(self.live_ids, record.id)
        _discard(self.archived_ids, record.id)

    def archive(self, record: StoredRecord, at_ms: int) -> None:
        """Move a record to the recycle bin; it leaves search at once."""
        self.unindex(record)
        record.archived_ms = at_ms
        _discard(self.live_ids, record.id)
        insort(self.archived_ids, record.id)

    def restore(self, record: StoredRecord) -> None:
        """Take a record out of the recycle bin; the caller indexes it."""
        record.archived_ms = None
        _discard(self.archived_ids, record.id)
        insort(self.live_ids, record.id)

    def show(self, record: StoredRecord, visible_ms: int | None) -> None:
        """Let search show the record's version of now: at once (None), or from `visible_ms` on."""
        if visible_ms is None:
            self._publish(record, record.version)
            return
        self._count += 1
        heapq.heappush(self._late, (visible_ms, self._count, record, record.version))

    def unindex(self, record: StoredRecord) -> None:
        """Let search forget the record."""
        if record.indexed is not None:
            self.index.remove((record.indexed.modified_ms, record.id))
            record.indexed = None

    def catch_up(self, now_ms: int) -> None:
        """Publish the versions whose lag is over."""
        while self._late and self._late[0][0] <= now_ms:
            _, _, record, version = heapq.heappop(self._late)
            if self.records.get(record.id) is record and record.archived_ms is None:
                self._publish(record, version)

    def _publish(self, record: StoredRecord, version: Version) -> None:
        if record.indexed is not None and record.indexed.number >= version.number:
            return
        self.unindex(record)
        record.indexed = version
        self.index.add((version.modified_ms, record.id))


def _discard(ids: list[int], record_id: int) -> None:
    at = bisect_left(ids, record_id)
    if at < len(ids) and ids[at] == record_id:
        del ids[at]
