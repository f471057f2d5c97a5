"""Reading HubSpot's JSON strictly: what is not as documented becomes an UnexpectedReply that names the place (pure)."""

from connectors.http.strict_json import StrictJson

_READ = StrictJson("HubSpot")
unexpected = _READ.unexpected
json_object = _READ.json_object
json_objects = _READ.json_objects
text = _READ.text
instant = _READ.instant


def record_id(value: object, what: str) -> str:
    """A record's id: digits as text (they outgrow 32 bits)."""
    found = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(found, str) or not is_record_id(found):
        raise unexpected(f"{what} is no id")
    return found


def is_record_id(value: str) -> bool:
    """True for what can be an id at HubSpot."""
    return value.isascii() and value.isdigit() and len(value) <= 20  # noqa: PLR2004 more than 64 bits hold
