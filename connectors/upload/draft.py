"""A request that is being built, and what became of the rows that are not in it (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connectors.contract.results import UploadResult

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Draft:
    """A request without its credentials.

    `rows` holds, for each event of the body in order, its row's place; `targets` its target; `local` the results by row of
    what was judged here and is not sent.
    """

    body: Json = field(repr=False)
    rows: tuple[int, ...]
    targets: tuple[str, ...]
    local: Mapping[int, UploadResult]

    def results(self, of_events: Sequence[UploadResult]) -> list[UploadResult]:
        """One result for each row, in order, from those of the events."""
        by_row = {**self.local, **dict(zip(self.rows, of_events, strict=True))}
        return [by_row[row] for row in range(len(by_row))]
