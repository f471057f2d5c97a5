"""What a claim would decide of deliveries, asked without claiming: for plans and previews."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from sqlalchemy.ext.asyncio import AsyncConnection

from app.dispatch.model import OpenDestination, SourceTerms
from app.dispatch.people import candidates_of
from app.dispatch.rows import owed, terms
from app.outbox.policy import Decision, Send, Stop, Wait, decide
from app.outbox.repository import ClaimedRow, rows_as_claimed

SENDABLE = "sendable"
WAITS = "waits"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A delivery and what a claim would decide of it now."""

    row: ClaimedRow
    destination: OpenDestination
    decision: Decision

    @property
    def outcome(self) -> str:
        """`sendable`, `waits`, or the reason why it would stop."""
        match self.decision:
            case Send():
                return SENDABLE
            case Wait():
                return WAITS
            case Stop(_, why):
                return why.value
            case _:
                assert_never(self.decision)


async def foresee(
    connection: AsyncConnection,
    wanted: Mapping[int, int],
    destinations: Mapping[int, OpenDestination],
    source: SourceTerms,
    now: datetime,
    deadlines: Mapping[int, datetime] | None = None,
) -> list[Foreseen]:
    """By the very decision that a claim takes. `wanted`: deliveries with their destinations; `deadlines` replace stored ones."""
    by_destination: dict[int, list[ClaimedRow]] = {}
    for row in await rows_as_claimed(connection, list(wanted), now):
        deadline = (deadlines or {}).get(row.id, row.deadline_at)
        by_destination.setdefault(wanted[row.id], []).append(replace(row, deadline_at=deadline))
    found = []
    for destination_id, rows in by_destination.items():
        destination = destinations[destination_id]
        people = await candidates_of(connection, destination_id, rows)
        for row in rows:
            decision = decide(owed(row), people[row.id], terms(row, destination, source), now)
            found.append(Foreseen(row, destination, decision))
    return found
