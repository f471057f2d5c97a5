"""What became of a taken request, and how `requestStatus:retrieve` tells it."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from connectors.simulators.google.refusals import Json, JsonObject
from connectors.simulators.google.request import Destination

STATUS_KEPT = timedelta(days=50)


class RecordIndices(StrEnum):
    """What `recordIndices` count over; servers before v1.9 do not send them."""

    OVER_EVENTS = "over_events"
    OVER_DESTINATION = "over_destination"
    ABSENT = "absent"


@dataclass(slots=True)
class Verdict:
    """One destination's outcome: which events it got, and which of them failed for which reason."""

    destination: Destination
    sent: list[int] = field(default_factory=list)
    failed: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def as_json(self, indices: RecordIndices, base: int, *, is_ready: bool) -> JsonObject:
        """The entry of `requestStatusPerDestination`; counts are int64 and so are strings."""
        told: JsonObject = {"destination": self.destination.raw, "requestStatus": "PROCESSING"}
        if not is_ready:
            return told
        failures = sum(len(each) for each in self.failed.values())
        success = "PARTIAL_SUCCESS" if failures else "SUCCESS"
        told["requestStatus"] = "FAILED" if failures and failures == len(self.sent) else success
        told["eventsIngestionStatus"] = {"recordCount": str(len(self.sent))}
        if failures:
            told["errorInfo"] = {"errorCounts": [self._count(reason, indices, base) for reason in sorted(self.failed)]}
        return told

    def _count(self, reason: str, indices: RecordIndices, base: int) -> Json:
        failed = self.failed[reason]
        count: JsonObject = {"recordCount": str(len(failed)), "reason": reason}
        match indices:
            case RecordIndices.OVER_EVENTS:
                count["recordIndices"] = [index + base for index in failed]
            case RecordIndices.OVER_DESTINATION:
                positions = {index: position for position, index in enumerate(self.sent)}
                count["recordIndices"] = [positions[index] + base for index in failed]
            case RecordIndices.ABSENT:
                pass
        return count


@dataclass(frozen=True, slots=True)
class TakenRequest:
    """A request that got a 200 and was not a dry run."""

    id: str
    events: tuple[JsonObject, ...]
    received_at: datetime
    ready_at: datetime
    verdicts: tuple[Verdict, ...]
