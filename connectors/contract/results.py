"""What became of each row of an upload whose call worked; and of each accepted row when its late verdict comes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """The platform took the row. `receipt` asks for the late verdict, `position` is the row's place under it."""

    receipt: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class AlreadyThere:
    """The platform has this conversion id already: counted once, so it is a success."""

    code: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for good. `code` is the platform's own; `message` is scrubbed of personal data and secrets."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """Not yet (click or action too recent): due again at `until`."""

    until: datetime
    code: str


@dataclass(frozen=True, slots=True)
class Retry:
    """A passing or unknown fault of this row: again, with growing pauses. `is_known`: the connector's table has its code."""

    code: str
    message: str = ""
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class NotProcessed:
    """The whole request was refused because of others (or of nobody named); this row was not judged and had no effect.

    The dispatcher sends it again without the named rows, or in halves where no row was named.
    """

    code: str = ""


@dataclass(frozen=True, slots=True)
class TargetRefused:
    """The conversion action, event or rule is wrong: this milestone's target stops, not the account. No effect."""

    target: str
    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A correction that cannot be taken here, as the grant or the conversion does not allow it; what was uploaded stays."""

    code: str
    message: str = ""


UploadResult = Accepted | AlreadyThere | Rejected | Later | Retry | NotProcessed | TargetRefused | Unsupported


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The late verdict: recorded."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """The late verdict: processed, but no ad interaction was found. Not an error."""

    code: str


VerdictResult = Confirmed | Unmatched | AlreadyThere | Rejected | Later | Retry | TargetRefused


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdict on a receipt: by position; positions not named are `Confirmed`."""

    by_position: Mapping[int, VerdictResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StillProcessing:
    """Ask again later."""


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Some rows failed and the platform does not say which: all go again in halves until a row is alone (dedup holds)."""

    failed: int
    code: str


@dataclass(frozen=True, slots=True)
class VerdictLost:
    """The platform no longer knows the receipt; the rows stay `accepted`."""

    code: str


VerdictReply = Verdicts | StillProcessing | Unnamed | VerdictLost
