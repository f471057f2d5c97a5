"""What a connection check found, each with the mend."""

from dataclasses import dataclass
from enum import StrEnum


class FindingStatus(StrEnum):
    """`unproven`: could not be tested without doing the thing itself, said honestly. `warning`: works, perhaps not as meant."""

    OK = "ok"
    FAILED = "failed"
    UNPROVEN = "unproven"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked. `subject` is a stable word (`token`, `account`, `target:qualified_lead`, `scope:...`).

    `message` says what is so, `mend` what to do where it is not ok; neither holds secrets or personal data.
    """

    subject: str
    status: FindingStatus
    message: str
    mend: str = ""
