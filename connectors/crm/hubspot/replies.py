"""Reading HubSpot's JSON strictly: what is not as documented becomes an UnexpectedReply that names the place (pure)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from connectors.contract.errors import Effect, UnexpectedReply

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

Json = Mapping[str, object]


def unexpected(what: str) -> UnexpectedReply:
    """The reply is not what HubSpot documents; `what` names the place, never a value."""
    return UnexpectedReply(f"HubSpot's answer is not as documented: {what}", effect=Effect.NONE)


def json_object(value: object, what: str) -> Json:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise unexpected(f"{what} is no object")
    return value


def json_objects(value: object, what: str) -> Sequence[Json]:
    """A list of JSON objects; a missing one is empty."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise unexpected(f"{what} is no list")
    return [json_object(one, f"an item of {what}") for one in value]


def text(value: object, what: str) -> str | None:
    """A property's value as text; numbers and booleans are written as HubSpot writes them."""
    match value:
        case None | str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case _:
            raise unexpected(f"{what} is no text")


def record_id(value: object, what: str) -> str:
    """A record's id: digits as text (they outgrow 32 bits)."""
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(found, str) or not is_record_id(found):
        raise unexpected(f"{what} is no id")
    return found


def is_record_id(value: str) -> bool:
    """True for what can be an id at HubSpot."""
    return value.isascii() and value.isdigit() and len(value) <= 20  # noqa: PLR2004 more than 64 bits hold


def instant(value: object, what: str) -> datetime:
    """An instant written as ISO 8601 or as epoch milliseconds, cut to milliseconds."""
    words = text(value, what) or ""
    try:
        if words.removeprefix("-").isdecimal():
            return EPOCH + timedelta(milliseconds=int(words))
        found = datetime.fromisoformat(words)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise unexpected(f"{what} is no instant") from None
    return from_ms(to_ms(found))


def to_ms(at: datetime) -> int:
    """Epoch milliseconds, cut."""
    return (at - EPOCH) // MILLISECOND


def from_ms(ms: int) -> datetime:
    """The instant of epoch milliseconds."""
    return EPOCH + timedelta(milliseconds=ms)


def is_true(value: object) -> bool:
    """HubSpot writes booleans as JSON or as text."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")
