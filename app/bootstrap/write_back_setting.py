"""The setting `write_back` of a source: which properties of the CRM are told what became of a record (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.config import Mistake, nearest
from app.mapping.labels import property_named
from app.outbox.notes import LONGEST_NOTE
from connectors.contract.records import ObjectKind
from connectors.contract.selection import Selection
from connectors.contract.source import PropertySchema, PropertyType, SourceSchema

WRITE_BACK = "write_back"
# Settings of a source that are the service's own; its connector is not given them.
SERVICE_SETTINGS = frozenset({WRITE_BACK})
LEAST_LENGTH = 80
_KINDS = (ObjectKind.CONTACT, ObjectKind.LEAD, ObjectKind.DEAL)


@dataclass(frozen=True, slots=True)
class NotedProperty:
    """A property that is written to; `longest` is the most characters that it takes of a note."""

    kind: ObjectKind
    name: str
    longest: int


@dataclass(frozen=True, slots=True)
class WriteBackSetting:
    """What the setting names, and what is wrong with it."""

    properties: tuple[NotedProperty, ...] = ()
    mistakes: tuple[Mistake, ...] = ()


def read_write_back(text: str, schema: SourceSchema, reads: Selection) -> WriteBackSetting:
    """Read `contact.leadloop_status, deal.leadloop_status` against what the CRM has; labels where it allows them.

    What the mapping reads is not written to: it would come back as the CRM's word.
    """
    found: list[NotedProperty] = []
    mistakes: list[Mistake] = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        read = _read(part, schema, reads)
        if isinstance(read, Mistake):
            mistakes.append(read)
        elif read not in found:
            found.append(read)
    return WriteBackSetting(tuple(found), tuple(mistakes))


def _read(part: str, schema: SourceSchema, reads: Selection) -> NotedProperty | Mistake:
    word, _, name = part.partition(".")
    if word not in _KINDS or not name:
        return Mistake(
            WRITE_BACK, f"`{part}` reads like `deal.property`, of {', '.join(_KINDS)}", nearest(word, map(str, _KINDS))
        )
    kind = ObjectKind(word)
    known = schema.properties.get(kind, {})
    names = property_named(schema, kind, name)
    if len(names) > 1:
        return Mistake(WRITE_BACK, f"`{part}` is the label of several properties: {', '.join(names)}; use one of these names")
    if not names:
        close = nearest(name, known)
        return Mistake(WRITE_BACK, f"the CRM has no {kind} property `{name}`; make one", f"{kind}.{close}" if close else None)
    chosen = reads.objects.get(kind)
    is_read = chosen is not None and names[0] in chosen.fields | chosen.history_properties
    why = "is read by the mapping; make a text property of its own for it" if is_read else _unfit(known[names[0]])
    longest = min(LONGEST_NOTE, known[names[0]].max_length or LONGEST_NOTE)
    return NotedProperty(kind, names[0], longest) if why is None else Mistake(WRITE_BACK, f"`{part}` {why}")


def _unfit(described: PropertySchema) -> str | None:
    if not described.is_custom:  # what stands in it is the company's, and would be lost
        return "is the CRM's own; make a text property of its own for it"
    if not described.is_writable:
        return "may not be written; make a text property of its own for it"
    if described.type is not PropertyType.TEXT or described.options:
        return "is no text; make a text property of its own for it"
    if described.max_length is not None and described.max_length < LEAST_LENGTH:
        return f"holds {described.max_length} characters; a status needs at least {LEAST_LENGTH}"
    return None


def without_service_settings(settings: Mapping[str, str]) -> Mapping[str, str]:
    """The settings that are the connector's."""
    return {name: value for name, value in settings.items() if name not in SERVICE_SETTINGS}


def mistakes_of(text: str, schema: SourceSchema, reads: Selection, *, can_write: bool) -> Sequence[Mistake]:
    """What keeps the setting from being applied."""
    if text.strip() and not can_write:
        return [Mistake(WRITE_BACK, "Leadloop cannot write into this CRM; leave the line out")]
    return read_write_back(text, schema, reads).mistakes
