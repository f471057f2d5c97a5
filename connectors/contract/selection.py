"""What the active mapping needs to be read from a CRM: nothing else is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.contract.records import ObjectKind


@dataclass(frozen=True, slots=True)
class ObjectSelection:
    """Properties to read of one kind. `history_properties` are read with their whole history of entries.

    `only_where_set`: where not empty, a search may leave out records in which all of these properties are empty.
    `or_on_deals`: records that are on a deal are wanted too; where `only_where_set` is empty, a search may leave out all others.
    `with_people`: read the people on the record (deals, CRM leads).
    `with_company`: read the record's company.
    """

    fields: frozenset[str] = frozenset()
    history_properties: frozenset[str] = frozenset()
    only_where_set: frozenset[str] = frozenset()
    or_on_deals: bool = False
    with_people: bool = False
    with_company: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """What to read, by kind. A kind that is absent is not polled."""

    objects: Mapping[ObjectKind, ObjectSelection] = field(default_factory=dict)
