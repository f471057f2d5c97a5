"""What is said of reading spend: how it stands at a destination, in a sentence and with the mend (pure)."""

from dataclasses import dataclass
from datetime import datetime

NO_ACCOUNT = "no account is named to read the spend of: "
NO_ACCOUNT_MEND = "name the ad account in the destination's settings, as the README of its kind says, or import a file of spend"
NOT_YET = "The account's spend was not read yet; the job `spend` does it, or `leadloop spend read`."
READ = "The account's spend is read every six hours."
ERROR = "The last reading of the account's spend failed; what was read before stays, and uploads go on."
ERROR_MEND = "it is tried again within six hours; mend what it says, then `leadloop spend read` tries at once"


@dataclass(frozen=True, slots=True)
class SpendStatus:
    """How reading an account's spend stands. `read_at`: when all of it was read last. `error`: why it was not read since."""

    read_at: datetime | None
    error: str | None
    message: str
    mend: str | None

    @property
    def lacks_account(self) -> bool:
        """Whether nobody asked for it: the settings name no account to read."""
        return self.error is not None and self.error.startswith(NO_ACCOUNT)


def spend_status(read_at: datetime | None, error: str | None) -> SpendStatus:
    """How it stands, in words."""
    if error is None:
        return SpendStatus(read_at, None, NOT_YET if read_at is None else READ, None)
    if error.startswith(NO_ACCOUNT):
        return SpendStatus(read_at, error, "The account's spend is not read: no account is named for it.", NO_ACCOUNT_MEND)
    return SpendStatus(read_at, error, ERROR, ERROR_MEND)
