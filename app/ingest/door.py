"""The webhook's way in: hints of one verified request become waiting refs, in one transaction. No value is kept."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.db.instants import to_ms
from app.db.session import Database
from app.ingest.inbox import NewHint, put_marked_hints
from app.ingest.watch import note_hints
from connectors.contract.records import ObjectKind
from connectors.contract.source import Hint


@dataclass(frozen=True, slots=True)
class HintsTaken:
    """What came of the hints: records that wait now, hints of other accounts, hints of kinds that the mapping does not read."""

    records: int = 0
    foreign: int = 0
    unread: int = 0


async def take_hints(
    database: Database,
    source_id: int,
    account_ref: str | None,
    kinds: Collection[ObjectKind],
    hints: Sequence[Hint],
    now: datetime,
) -> HintsTaken:
    """Store the hints of this account and of these kinds; those that wait already are not doubled."""
    own = [hint for hint in hints if hint.account_ref == account_ref]
    # Whoever asks to be forgotten is, whatever the mapping reads now: it may have read them before.
    wanted = [hint for hint in own if hint.ref.kind in kinds or hint.is_privacy_deletion]
    if own:
        async with database.write() as connection:
            new = [NewHint(hint.ref, hint.merged_into, hint.is_privacy_deletion) for hint in wanted]
            await put_marked_hints(connection, source_id, new, to_ms(now))
            # After the hints, as a recording does: the other way round each would wait for the other's row.
            await note_hints(connection, source_id, len(own), to_ms(now))
    return HintsTaken(len({hint.ref for hint in wanted}), len(hints) - len(own), len(own) - len(wanted))
