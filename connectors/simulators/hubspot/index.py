"""Keys in order, in chunks: adding, removing, ranking and slicing stay cheap with hundreds of thousands of them."""

from bisect import bisect_left, insort
from collections.abc import Iterator

Key = tuple[int, int]  # (modified_ms, record id)

_CHUNK = 1000
LOWEST_ID = -1
HIGHEST_ID = 1 << 62


class SortedKeys:
    """The search index of one object type, ordered by (cursor property, id)."""

    def __init__(self) -> None:
        self._chunks: list[list[Key]] = []
        self._last: list[Key] = []
        self._count = 0
        self.stamp = 0

    def __len__(self) -> int:
        return self._count

    def add(self, key: Key) -> None:
        """Put a key in its place."""
        self.stamp += 1
        self._count += 1
        if not self._chunks:
            self._chunks.append([key])
            self._last.append(key)
            return
        at = min(bisect_left(self._last, key), len(self._chunks) - 1)
        chunk = self._chunks[at]
        insort(chunk, key)
        if len(chunk) > 2 * _CHUNK:
            self._chunks[at : at + 1] = [chunk[:_CHUNK], chunk[_CHUNK:]]
            self._last[at : at + 1] = [chunk[_CHUNK - 1], chunk[-1]]
        else:
            self._last[at] = chunk[-1]

    def remove(self, key: Key) -> None:
        """Take a key out; KeyError where it is not there."""
        at = bisect_left(self._last, key)
        chunk = self._chunks[at] if at < len(self._chunks) else []
        place = bisect_left(chunk, key)
        if place == len(chunk) or chunk[place] != key:
            raise KeyError(key)
        self.stamp += 1
        self._count -= 1
        del chunk[place]
        if chunk:
            self._last[at] = chunk[-1]
        else:
            del self._chunks[at], self._last[at]

    def holds(self, key: Key) -> bool:
        """Whether a key is there."""
        at = bisect_left(self._last, key)
        chunk = self._chunks[at] if at < len(self._chunks) else []
        place = bisect_left(chunk, key)
        return place < len(chunk) and chunk[place] == key

    def rank(self, key: Key) -> int:
        """How many keys are lower."""
        at = bisect_left(self._last, key)
        before = sum(map(len, self._chunks[:at]))
        return before + (bisect_left(self._chunks[at], key) if at < len(self._chunks) else 0)

    def slice(self, start: int, stop: int) -> Iterator[Key]:
        """The keys of these ranks, in order."""
        at = 0
        for chunk in self._chunks:
            if at >= stop:
                return
            if at + len(chunk) > start:
                yield from chunk[max(start - at, 0) : stop - at]
            at += len(chunk)
