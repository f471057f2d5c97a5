"""Whether a source's webhooks still come: what they told, and what only its polls found since. One cold row a source."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import BigInteger, RowMapping, bindparam, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.bulk import insert_rows
from app.db.tables import cursors, webhook_watch

# A change that a webhook has not told by then is one that the poll found: webhooks come within seconds.
HEADSTART = timedelta(minutes=2)
# So many changes, over so long, without any webhook: they have fallen silent.
MOST_UNTOLD = 3
SILENCE = timedelta(hours=1)
SILENCE_IN_WORDS = "polls find changes that no webhook tells any more, so conversions come minutes later than they could"
SILENCE_MEND = (
    "look whether the CRM still has its webhook subscription, and to this address (`leadloop check` shows it); "
    "nothing is lost meanwhile, and it ends with the next webhook"
)


@dataclass(frozen=True, slots=True)
class WebhookWatch:
    """The watch of a source. Instants are epoch milliseconds. `told_at` is set while the webhooks are silent."""

    hints: int
    last_hint_at: int | None
    found_by_poll: int
    found_since: int | None
    found_in_all: int
    told_at: int | None
    kept_at: int | None
    kept_error: str | None


_NOTE = text(
    "INSERT INTO webhook_watch (source_id, hints, last_hint_at) VALUES (:source_id, :many, :now) ON CONFLICT (source_id) "
    "DO UPDATE SET hints = webhook_watch.hints + excluded.hints, last_hint_at = excluded.last_hint_at, found_by_poll = 0, "
    "found_since = NULL, told_at = NULL"
).bindparams(*(bindparam(name, type_=BigInteger) for name in ("source_id", "many", "now")))

_COUNT = text(
    "UPDATE webhook_watch SET found_by_poll = found_by_poll + :many, found_in_all = found_in_all + :many, "
    "found_since = COALESCE(found_since, :now), "
    "told_at = CASE WHEN told_at IS NULL AND found_by_poll + :many >= :most AND found_since <= :long_ago THEN :now "
    "ELSE told_at END "
    "WHERE source_id = :source_id AND last_hint_at IS NOT NULL RETURNING told_at"
).bindparams(*(bindparam(name, type_=BigInteger) for name in ("source_id", "many", "now", "most", "long_ago")))


async def note_hints(connection: AsyncConnection, source_id: int, many: int, now_ms: int) -> None:
    """Webhooks came: a silence is over."""
    await connection.execute(_NOTE, {"source_id": source_id, "many": many, "now": now_ms})


async def count_untold(connection: AsyncConnection, source_id: int, many: int, now_ms: int) -> bool:
    """A poll found changes that no webhook had told; True where the webhooks are taken for silent from now on."""
    long_ago = now_ms - int(SILENCE.total_seconds() * 1000)
    given = {"source_id": source_id, "many": many, "now": now_ms, "most": MOST_UNTOLD, "long_ago": long_ago}
    told_at = await connection.scalar(_COUNT, given)
    return told_at is not None and int(told_at) == now_ms


async def note_kept(connection: AsyncConnection, source_id: int, now_ms: int, error: str | None) -> None:
    """The subscriptions were looked at, or could not be."""
    row = {"source_id": source_id, "kept_at": now_ms, "kept_error": error}
    await insert_rows(connection, webhook_watch, [row], conflict=("source_id",), update=("kept_at", "kept_error"))


async def poll_at_once(connection: AsyncConnection, source_id: int, now_ms: int) -> None:
    """What changed while there was no subscription is read now."""
    statement = update(cursors).where(cursors.c.source_id == source_id, cursors.c.next_poll_at > now_ms)
    await connection.execute(statement.values(next_poll_at=now_ms))


async def watches(connection: AsyncConnection) -> dict[int, WebhookWatch]:
    """The watch of every source that has one."""
    rows = (await connection.execute(select(webhook_watch))).mappings()
    return {row["source_id"]: _watch(row) for row in rows}


def _watch(row: RowMapping) -> WebhookWatch:
    return WebhookWatch(**{name: row[name] for name in WebhookWatch.__slots__})
