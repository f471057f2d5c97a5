"""Was it sent? One line for each destination, from what is stored and what the mapping makes nothing of (pure)."""

from collections import Counter
from collections.abc import Iterator, Sequence

from sqlalchemy import RowMapping

from app.outbox.states import DeliveryState
from app.reports.correction_queries import DELIVERED, OPEN, UPLOAD
from app.reports.trace_model import AnswerTrace
from app.reports.trace_rows import Stored
from app.reports.trace_story import Story
from connectors.contract.conversions import DeliveryKind

_RETRACT = DeliveryKind.RETRACT.value


def answers_of(stored: Stored, story: Story) -> tuple[AnswerTrace, ...]:
    """One for each destination that the mapping names, or that something of this lead was owed to."""
    owed = {row["destination"] for rows in stored.deliveries.values() for row in rows}
    return tuple(AnswerTrace(name, _line(name, stored, story)) for name in sorted(owed | set(story.targets)))


def _line(destination: str, stored: Stored, story: Story) -> str:
    parts = Counter(_parts(destination, stored, story))
    told = (part if count == 1 else f"{part} ({count:,} times)" for part, count in parts.items())
    return "; ".join(told) or "the mapping sends nothing there"


def _parts(destination: str, stored: Stored, story: Story) -> Iterator[str]:
    targets = story.targets.get(destination, ())
    for row in stored.conversions:
        mine = [one for one in stored.deliveries[row["id"]] if one["destination"] == destination]
        upload = next((one for one in mine if one["kind"] == UPLOAD), None)
        if upload is not None:
            yield f"{row['milestone']} {_fate(upload, mine)}"
        elif row["milestone"] in targets:
            yield f"{row['milestone']} {_not_owed(row)}"
    for one in story.unreached:
        if one.milestone in targets:
            yield f"{one.milestone} not reached ({one.code})"


def _fate(upload: RowMapping, mine: Sequence[RowMapping]) -> str:
    state, reason = str(upload["state"]), upload["reason"]
    if state in OPEN:
        return f"waits ({reason})" if state == DeliveryState.PENDING else "is being sent"
    if state in DELIVERED:
        taken_back = any(one["kind"] == _RETRACT and one["state"] in DELIVERED for one in mine)
        return "sent, and taken back" if taken_back else f"sent ({state})"
    if state == DeliveryState.UNMATCHED:
        return "sent (unmatched)"
    if state == DeliveryState.UNCERTAIN:
        return "perhaps sent (uncertain)"
    return f"not sent ({reason})" if reason else f"not sent ({state})"


def _not_owed(conversion: RowMapping) -> str:
    if conversion["implied"]:
        return "not owed: it is only implied by a higher milestone, and reported"
    return "not owed: the destination came later; a backfill can send it"
