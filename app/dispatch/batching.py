"""Which rows go together, and how a refused request is split (pure)."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Batchable(Protocol):
    """What a batch looks at."""

    @property
    def target(self) -> str:
        """Where it goes."""
        ...

    @property
    def key(self) -> str:
        """Its conversion's id: the same one never twice in a request."""
        ...

    @property
    def form(self) -> str:
        """Only rows of one form go together."""
        ...

    @property
    def most_together(self) -> int | None:
        """The most rows of a request in which it may go, where a late verdict named no row; None: no such bound."""
        ...


Row = TypeVar("Row", bound=Batchable)


def batches(rows: Sequence[Row], *, most_rows: int, most_targets: int) -> list[list[Row]]:
    """Fill requests in order, form by form, rows with a bound of their own first; what does not fit opens the next request.

    Where a request holds one target, the rows of a target stand together, so that turns of targets do not cut requests short.
    """
    firsts: dict[str, int] = {}
    if most_targets == 1:
        for row in rows:
            firsts.setdefault(row.target, len(firsts))
    made: list[list[Row]] = []
    targets: set[str] = set()
    keys: set[tuple[str, str]] = set()
    like: tuple[str, int | None] | None = None
    for row in sorted(rows, key=lambda one: (one.form, one.most_together or most_rows, firsts.get(one.target, 0))):
        key, kind = (row.key, row.target), (row.form, row.most_together)
        is_full = kind != like or len(made[-1]) >= min(most_rows, row.most_together or most_rows)
        if is_full or key in keys or (row.target not in targets and len(targets) >= most_targets):
            made.append([])
            targets, keys = set(), set()
            like = kind
        made[-1].append(row)
        targets.add(row.target)
        keys.add(key)
    return made


def halves(rows: Sequence[Row]) -> list[list[Row]]:
    """A request that was refused without naming a row, in two; a single row cannot be split."""
    middle = len(rows) // 2
    return [list(rows[:middle]), list(rows[middle:])] if middle else [list(rows)]
