"""Reading a vendor's JSON strictly: what is not as documented becomes an UnexpectedReply that names the place (pure)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from connectors.contract.errors import Effect, UnexpectedReply

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

Json = Mapping[str, object]


class StrictJson:
    """Reads the answers of one vendor, whose name stands in the errors. Every `what` names a place, never a value."""

    def __init__(self, vendor: str) -> None:
        self._vendor = vendor

    def unexpected(self, what: str) -> UnexpectedReply:
        """The reply is not what the vendor documents."""
        return UnexpectedReply(f"{self._vendor}'s answer is not as documented: {what}", effect=Effect.NONE)

    def json_object(self, value: object, what: str) -> Json:
        """A JSON object."""
        if not isinstance(value, Mapping):
            raise self.unexpected(f"{what} is no object")
        return value

    def json_objects(self, value: object, what: str) -> Sequence[Json]:
        """A list of JSON objects; a missing one is empty."""
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.unexpected(f"{what} is no list")
        return [self.json_object(one, f"an item of {what}") for one in value]

    def text(self, value: object, what: str) -> str | None:
        """A property's value as text; booleans in lower case, numbers as Python writes them."""
        match value:
            case None | str():
                return value
            case bool():
                return str(value).lower()
            case int() | float():
                return str(value)
            case _:
                raise self.unexpected(f"{what} is no text")

    def instant(self, value: object, what: str) -> datetime:
        """An instant written as ISO 8601 (UTC where no offset is given) or as epoch milliseconds, cut to milliseconds."""
        words = self.text(value, what) or ""
        try:
            if words.removeprefix("-").isdecimal():
                return from_ms(int(words))
            found = datetime.fromisoformat(words)
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.unexpected(f"{what} is no instant") from None
        return from_ms(to_ms(found))


def to_ms(at: datetime) -> int:
    """Epoch milliseconds, cut."""
    return (at - EPOCH) // MILLISECOND


def from_ms(ms: int) -> datetime:
    """The instant of epoch milliseconds."""
    return EPOCH + timedelta(milliseconds=ms)


def is_true(value: object) -> bool:
    """True for the JSON boolean and for its text."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")
