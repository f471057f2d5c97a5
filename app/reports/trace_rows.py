"""The rows of a trace, by what they hang on."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import RowMapping


@dataclass(frozen=True, slots=True)
class Stored:
    """All that is stored of a lead, or of a deal that has nobody.

    `account` is what it is worth; `of_colleagues`: conversions of its companies that others made.
    """

    lead_id: int | None
    lead: RowMapping | None
    account: RowMapping | None
    records: dict[int, RowMapping]
    entries: Sequence[RowMapping]
    conversions: Sequence[RowMapping]
    of_colleagues: Sequence[RowMapping] = ()
    links: dict[int, list[RowMapping]] = field(default_factory=lambda: defaultdict(list))
    valuations: dict[int, list[RowMapping]] = field(default_factory=lambda: defaultdict(list))
    deliveries: dict[int, list[RowMapping]] = field(default_factory=lambda: defaultdict(list))
    tries: dict[int, list[RowMapping]] = field(default_factory=lambda: defaultdict(list))

    @property
    def all_conversions(self) -> Sequence[RowMapping]:
        """With those of colleagues."""
        return [*self.conversions, *self.of_colleagues]
