"""The rows of a company and every write to them: reindexed, logged and told to webhooks in one step."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connectors.simulators.pipedrive import edits
from connectors.simulators.pipedrive.catalogue import Catalogue
from connectors.simulators.pipedrive.instants import DAY, millis
from connectors.simulators.pipedrive.rows import OWNER_ONLY, ROW_TYPES, Kind, Lead, Row
from connectors.simulators.pipedrive.shelf import Shelf
from connectors.simulators.pipedrive.webhooks import Event, Webhooks
from connectors.simulators.pipedrive.writer import Writer, difference

SOFT_DELETED_MS = 30 * DAY
_KINDS = {row_type: kind for kind, row_type in ROW_TYPES.items()}
Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Moment:
    """When and how something was done. Readers see it from `visible_at` on; `more` goes into the webhook's meta."""

    at: datetime
    source: str = "app"
    is_bulk: bool = False
    visible_at: datetime | None = None
    more: Values | None = None

    @property
    def at_ms(self) -> int:
        """The instant in epoch milliseconds."""
        return millis(self.at)

    @property
    def visible_ms(self) -> int | None:
        """From when on readers see it; None for at once."""
        return None if self.visible_at is None else millis(self.visible_at)


class Store:
    """One shelf for each kind of row."""

    def __init__(self, catalogue: Catalogue, writer: Writer, webhooks: Webhooks, actor: int) -> None:
        self._catalogue = catalogue
        self._writer = writer
        self._webhooks = webhooks
        self._actor = actor
        self._shelves = {kind: Shelf() for kind in Kind}
        self._lead_numbers: dict[str, int] = {}

    def shelf(self, kind: Kind) -> Shelf:
        """The rows of a kind."""
        return self._shelves[kind]

    def find(self, kind: Kind, row_id: int | str) -> Row | None:
        """A row as it really is, deleted ones too; a lead by its UUID."""
        number = self._lead_numbers.get(row_id) if isinstance(row_id, str) else row_id
        return None if number is None else self._shelves[kind].rows.get(number)

    def next_id(self, kind: Kind) -> int:
        """The next free id."""
        ids = self._shelves[kind].ids
        return ids[-1] + 1 if ids else 1

    def put(self, row: Row, source: str = "app", visible_at: datetime | None = None) -> None:
        """Take in a new row."""
        shelf = self._shelves[_KINDS[type(row)]]
        if row.id in shelf.rows:
            raise ValueError(f"{_KINDS[type(row)]} {row.id} exists already")
        if isinstance(row, Lead):
            self._lead_numbers[row.uuid] = row.id
        shelf.put(row, None if visible_at is None else millis(visible_at))
        self._tell("create", row, row.update_time, source=source)

    def write(self, row: Row, values: tuple[Values, Values], moment: Moment) -> bool:
        """Write fields and custom fields; the update time moves and everybody is told, where anything changed."""
        kind = _KINDS[type(row)]
        shelf = self._shelves[kind]
        before = shelf.before(row)
        edit = edits.apply(row, *values)
        if not edit and moment.more is None:
            return False
        row.update_time = max(row.update_time, moment.at_ms)
        if kind in (Kind.DEAL, Kind.PERSON):
            edits.log(row, edit, moment.at_ms, actor=self._actor, source=moment.source, is_bulk=moment.is_bulk)
        shelf.moved(before, row, moment.visible_ms)
        if self._webhooks.is_wanted("change", kind):
            previous = difference(self._writer.webhook(before), self._writer.webhook(row))
            self._tell("change", row, moment.at_ms, moment.source, previous, is_bulk=moment.is_bulk, more=moment.more)
        return True

    def touch(self, row: Row, at_ms: int) -> None:
        """Move a row's update time and nothing else."""
        shelf = self._shelves[_KINDS[type(row)]]
        before = shelf.before(row)
        row.update_time = max(row.update_time, at_ms)
        shelf.moved(before, row)

    def delete(self, row: Row, at: datetime, more: Values | None = None) -> None:
        """Delete softly; the update time moves."""
        before = self._writer.webhook(row)
        self._set_deleted(row, millis(at), at)
        self._tell("delete", row, millis(at), previous=before, more=more)

    def restore(self, row: Row, at: datetime) -> None:
        """Undo a deletion."""
        before = self._writer.webhook(row)
        self._set_deleted(row, None, at)
        self._tell("change", row, millis(at), previous=difference(before, self._writer.webhook(row)))

    def sees(self, user_id: int, row: Row) -> bool:
        """Whether a user may see a row."""
        return row.visible_to != OWNER_ONLY or row.owner_id == user_id or self._catalogue.users[user_id].is_admin

    @staticmethod
    def is_gone(row: Row, now_ms: int) -> bool:
        """Whether a row was deleted so long ago that nobody gets it back."""
        return row.deleted_ms is not None and now_ms >= row.deleted_ms + SOFT_DELETED_MS

    def catch_up(self, now: datetime) -> None:
        """Show what was held back and is due."""
        for shelf in self._shelves.values():
            shelf.catch_up(millis(now))

    def _set_deleted(self, row: Row, deleted_ms: int | None, at: datetime) -> None:
        shelf = self._shelves[_KINDS[type(row)]]
        before = shelf.before(row)
        row.deleted_ms, row.update_time = deleted_ms, max(row.update_time, millis(at))
        shelf.moved(before, row)

    def _tell(
        self,
        action: str,
        row: Row,
        at_ms: int,
        source: str = "app",
        previous: dict[str, object] | None = None,
        *,
        is_bulk: bool = False,
        more: Values | None = None,
    ) -> None:
        kind = _KINDS[type(row)]
        if not self._webhooks.is_wanted(action, kind):
            return
        permitted = tuple(user for user in self._catalogue.users if self.sees(user, row))
        data = None if action == "delete" else self._writer.webhook(row)
        row_id = row.uuid if isinstance(row, Lead) else str(row.id)
        self._webhooks.offer(Event(action, kind, row_id, at_ms, data, previous, self._actor, permitted, source, is_bulk, more))
