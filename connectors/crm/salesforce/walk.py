"""Walks a window page by page: keyset after keyset, in smaller stretches where Salesforce finds one too large."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.contract.errors import ConnectorError, Unavailable
from connectors.contract.records import ObjectKind
from connectors.contract.source import Window
from connectors.crm.salesforce.api import Rows, SalesforceApi
from connectors.crm.salesforce.catalogue import Plans
from connectors.crm.salesforce.objects import ROLE
from connectors.crm.salesforce.records import modified_at, row_id
from connectors.crm.salesforce.refusals import TOO_LARGE
from connectors.crm.salesforce.replies import unexpected
from connectors.crm.salesforce.soql import Query
from connectors.crm.salesforce.windows import Phase, Place
from connectors.http.client import Clock
from connectors.http.strict_json import Json, to_ms

SHORTEST_STRETCH_MS = 60_000
SHORTEST_AFTER_LOSS_MS = 15 * 60_000
ANSWERED_BEFORE_MORE = 4
LONGEST_STRETCH_MS = 366 * 24 * 3_600_000
INTERNAL_ERROR = 500
GATEWAY_TIMED_OUT = 504
# No answer, or one that says nothing but that the whole request failed: perhaps for its size.
LOST = frozenset({None, INTERNAL_ERROR, GATEWAY_TIMED_OUT})
# Roles that changed longer before the window's end than rows can become visible late were there when their deal was read.
ROLES_REACH = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class First:
    """The first page of a window, and of its roles where it has them, with the server's clock."""

    rows: Rows | ConnectorError
    roles: Rows | ConnectorError | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Step:
    """A page of one phase. `next` is None at the end of the phase."""

    rows: Sequence[Json]
    next: Place | None


@dataclass(slots=True)
class Stretch:
    """How much of a kind's modification time Salesforce answers at once, in milliseconds; None: all that is asked.

    It outlives a reading: an answer that was lost for its size would be lost again and again.
    """

    ms: int | None = None
    answered: int = 0

    def halve(self, span_ms: int) -> bool:
        """Ask for half of what was refused as too large; False where that is too short to help."""
        self.ms = max(span_ms // 2, SHORTEST_STRETCH_MS)
        self.answered = 0
        return span_ms // 2 >= SHORTEST_STRETCH_MS

    def note_lost(self, span_ms: int) -> None:
        """An answer never came, perhaps for its size: the next reading asks for less, but no less than a poll does."""
        self.ms = max(span_ms // 2, SHORTEST_AFTER_LOSS_MS)
        self.answered = 0

    def note_answered(self) -> None:
        """Several in a row: ask for more."""
        self.answered += 1
        if self.ms is not None and self.answered >= ANSWERED_BEFORE_MORE:
            self.answered = 0
            self.ms = None if self.ms > LONGEST_STRETCH_MS else 2 * self.ms


class Walk:
    """One reading of one window. `start_ms` may lie before the window's start; `end_ms` is exclusive."""

    def __init__(
        self,
        api: SalesforceApi,
        window: Window,
        start_ms: int,
        clock: Clock,
        stretch: Stretch,
        first: First | None = None,
    ) -> None:
        self._api = api
        self.kind = window.kind
        self._clock = clock
        self._start_ms = start_ms
        self.until_ms = None if window.until is None else max(to_ms(window.until), to_ms(window.since))
        self._since_ms = to_ms(window.since)
        self._stretch = stretch
        self._first: dict[Phase, Rows | ConnectorError] = {}
        if first is not None:
            self._note_time(first.at)
            self._first[Phase.ROWS] = first.rows
            if first.roles is not None:
                self._first[Phase.ROLES] = first.roles

    @property
    def end_ms(self) -> int | None:
        """The first millisecond after the window; None until the server told its clock."""
        return None if self.until_ms is None else self.until_ms + 1

    def early_roles(self) -> Sequence[Json] | None:
        """The roles as they were before the rows were read, where that is all of them; None where they must be asked for."""
        kept = self._first.get(Phase.ROLES)
        return kept.rows if isinstance(kept, Rows) and kept.is_complete else None

    def roles_start(self) -> Place:
        """Where the reading of the roles begins: what changed earlier is on the deals that the window itself gave."""
        is_kept = Phase.ROLES in self._first
        reach_ms = 0 if is_kept or self.until_ms is None else self.until_ms - int(ROLES_REACH.total_seconds() * 1000)
        return Place(Phase.ROLES, max(self._start_ms, reach_ms))

    async def step(self, place: Place, plans: Plans) -> Step:
        """The page at a place. Raises where even the shortest stretch is too large."""
        while True:
            end_ms = self._stretch_end(place)
            try:
                answer = await self._answer(place, end_ms, plans)
            except Unavailable as error:
                if error.status in LOST:
                    self._stretch.note_lost(self._span_ms(place, end_ms))
                raise
            if isinstance(answer, Rows):
                return self._stepped(place, answer, end_ms, plans)
            if not _is_too_large(answer) or not self._stretch.halve(self._span_ms(place, end_ms)):
                raise answer

    async def _answer(self, place: Place, end_ms: int | None, plans: Plans) -> Rows | ConnectorError:
        kept = self._first.pop(place.phase, None)
        if kept is not None:
            return kept
        (answer,), at = await self._api.queries([query_at(self.kind, place, end_ms, plans)])
        self._note_time(at)
        return answer

    def _stepped(self, place: Place, found: Rows, end_ms: int | None, plans: Plans) -> Step:
        if not found.is_complete:
            return Step(found.rows, _behind(place, found, stamp_of(self.kind, place.phase, plans)))
        self._stretch.note_answered()
        if end_ms is None or self.end_ms is None or end_ms >= self.end_ms:
            if place.at_ms <= self._start_ms:
                self._stretch.ms = None  # all of it went at once
            return Step(found.rows, None)
        return Step(found.rows, Place(place.phase, end_ms))

    def _stretch_end(self, place: Place) -> int | None:
        if self._stretch.ms is None:
            return self.end_ms
        ahead = place.at_ms + self._stretch.ms
        return ahead if self.end_ms is None else min(ahead, self.end_ms)

    def _span_ms(self, place: Place, end_ms: int | None) -> int:
        """How much of time was asked for, up to now where there was no end."""
        until_ms = end_ms if end_ms is not None else self.end_ms or to_ms(self._clock())
        return until_ms - place.at_ms

    def _note_time(self, at: datetime | None) -> None:
        """The first answer's Date ends a window that was not opened yet; a refused one has it too."""
        if self.until_ms is None:
            self.until_ms = max(to_ms(at or self._clock()), self._since_ms)


def _is_too_large(error: ConnectorError) -> bool:
    """A query may also fail for its size with a bare 500 (seen in big orgs)."""
    return error.code in TOO_LARGE or error.status == INTERNAL_ERROR


def query_at(kind: ObjectKind, place: Place, end_ms: int | None, plans: Plans) -> Query:
    """The query for the page at a place."""
    stamp = stamp_of(kind, place.phase, plans)
    conditions = place.conditions(stamp, end_ms)
    if place.phase is Phase.ROLES:
        fields: tuple[str, ...] = ("Id", "OpportunityId", stamp)
        return Query(ROLE, fields, where=conditions, order_by=(stamp, "Id"), with_deleted=True)
    plan = plans.of(kind)
    fields = tuple(dict.fromkeys((*plan.fields, stamp)))
    return Query(plan.facts.name, fields, where=conditions, order_by=(stamp, "Id"), with_deleted=True)


def stamp_of(kind: ObjectKind, phase: Phase, plans: Plans) -> str:
    """The field that a phase's windows go by."""
    if phase is Phase.ROWS:
        return plans.of(kind).stamp
    if plans.roles is None:
        raise unexpected("contact roles are read though the org shows none")
    return plans.roles.stamp


def _behind(place: Place, found: Rows, stamp: str) -> Place:
    if not found.rows:
        raise unexpected("a window's page is empty and not the last")
    last = found.rows[-1]
    following = Place(place.phase, to_ms(modified_at(last, stamp)), row_id(last))
    if following == place or following.at_ms < place.at_ms:
        raise unexpected("a window does not move on")
    return following
