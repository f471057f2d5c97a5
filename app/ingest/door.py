"""The webhook's way in: hints of one verified request become waiting refs, in one transaction. No value is kept."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.db.instants import to_ms
from app.db.session import Database
from app.ingest.inbox import put_hints
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
    wanted = {hint.ref for hint in own if hint.ref.kind in kinds}
    unread = sum(hint.ref.kind not in kinds for hint in own)
    if wanted:
        async with database.write() as connection:
            await put_hints(connection, source_id, sorted(wanted), to_ms(now))
    return HintsTaken(len(wanted), len(hints) - len(own), unread)
