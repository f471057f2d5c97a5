"""The books: every conversion found, and where it stands at every destination. Values, no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from app.outbox.states import DeliveryState
from connectors.contract.conversions import DeliveryKind

STATES: tuple[str, ...] = (
    DeliveryState.ACCEPTED,
    DeliveryState.CONFIRMED,
    DeliveryState.UNMATCHED,
    DeliveryState.SHADOWED,
    DeliveryState.SKIPPED,
    DeliveryState.REJECTED,
    DeliveryState.EXPIRED,
    DeliveryState.UNCERTAIN,
    DeliveryState.PENDING,
    DeliveryState.SENDING,
)
WAITING = (DeliveryState.PENDING.value, DeliveryState.SENDING.value)
CORRECTIONS = (DeliveryKind.RESTATE.value, DeliveryKind.RETRACT.value)

# Why a conversion owes nothing to a destination; shown among the skipped ones, though no delivery was made for them.
IMPLIED = "implied"
NOT_NAMED = "not_named"
OWES_NOTHING: Mapping[str, str] = {
    IMPLIED: "A later step implied it; the mapping reports such ones and does not send them.",
    NOT_NAMED: "The mapping of its time named no target for this milestone at this destination; send it with a backfill.",
}

Standing = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class BooksQuery:
    """A span of UTC days of the conversions' instants, both included (None: open), and filters by name."""

    since: date | None = None
    until: date | None = None
    source: str | None = None
    destination: str | None = None


@dataclass(frozen=True, slots=True)
class BookRow:
    """One milestone at one destination on one day (None: all days of the books).

    `uploads` counts by (state, reason); `corrections` by kind and then alike. `unexplained` conversions have no delivery and no
    reason for it; `doubled` are deliveries beyond the one that a conversion may have.
    """

    milestone: str
    destination: str
    day: date | None
    found: int = 0
    uploads: Standing = field(default_factory=dict)
    corrections: Mapping[str, Standing] = field(default_factory=dict)
    unexplained: int = 0
    doubled: int = 0

    @property
    def accounted(self) -> int:
        """How many conversions stand in one of the states."""
        return sum(count for (state, _), count in self.uploads.items() if state in STATES)

    @property
    def is_balanced(self) -> bool:
        """True where everything found is accounted for, once."""
        return self.found == self.accounted and not self.unexplained and not self.doubled

    def in_state(self, *states: str) -> int:
        """How many uploads stand in these states."""
        return sum(count for (state, _), count in self.uploads.items() if state in states)

    @property
    def waiting(self) -> int:
        """Owed and not yet settled."""
        return self.in_state(*WAITING)


@dataclass(frozen=True, slots=True)
class Imbalance:
    """What does not balance, where, how many, and what it means."""

    milestone: str
    destination: str
    day: date
    count: int
    message: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.day} {self.milestone} at {self.destination}: {self.count:,} {self.message}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Conversions of one milestone that a platform counts otherwise than the CRM, as it could not be told of a correction.

    `told` and `true` are how many of them the platform counts and how many the CRM has; `told_micros` are of `currency`,
    `true_micros` of `true_currency` (None: no value).
    """

    milestone: str
    destination: str
    currency: str | None
    true_currency: str | None
    conversions: int
    told: int
    true: int
    told_micros: int
    true_micros: int

    @property
    def overstated_micros(self) -> int | None:
        """By how much the platform counts too much (negative: too little); None across currencies."""
        return self.told_micros - self.true_micros if self.currency == self.true_currency else None


@dataclass(frozen=True, slots=True)
class Overstated:
    """What a platform was told of leads beyond their worth, as it could not be told of a correction.

    `leads` of them, by `micros` of `currency` together; `mixed` leads were told of in several currencies and are not added up.
    """

    destination: str
    currency: str
    leads: int
    micros: int
    mixed: int


@dataclass(frozen=True, slots=True)
class Books:
    """The books of a span: a row for each milestone, destination and day, what does not balance, what is counted otherwise.

    `differences` are no imbalance: each has its reason. They leave out what is still to be corrected. `overstated`: the same by
    lead, where the mapping's values are shares of what a lead is worth; of leads with a conversion in the span.
    """

    query: BooksQuery
    rows: tuple[BookRow, ...]
    imbalances: tuple[Imbalance, ...] = ()
    differences: tuple[Difference, ...] = ()
    overstated: tuple[Overstated, ...] = ()

    @property
    def is_balanced(self) -> bool:
        """True where nothing is missing, doubled or stuck."""
        return not self.imbalances

    def by_milestone(self) -> tuple[BookRow, ...]:
        """The rows of all days together."""
        groups: dict[tuple[str, str], list[BookRow]] = {}
        for row in self.rows:
            groups.setdefault((row.milestone, row.destination), []).append(row)
        return tuple(
            BookRow(
                milestone,
                destination,
                None,
                found=sum(row.found for row in rows),
                uploads=_added(row.uploads for row in rows),
                corrections={
                    kind: added for kind in CORRECTIONS if (added := _added(row.corrections.get(kind, {}) for row in rows))
                },
                unexplained=sum(row.unexplained for row in rows),
                doubled=sum(row.doubled for row in rows),
            )
            for (milestone, destination), rows in groups.items()
        )


def _added(standings: Iterable[Standing]) -> Standing:
    sums: dict[tuple[str, str], int] = {}
    for standing in standings:
        for key, count in standing.items():
            sums[key] = sums.get(key, 0) + count
    return sums
