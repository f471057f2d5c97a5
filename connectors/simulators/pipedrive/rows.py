"""What a company keeps: deals, persons, organizations and leads. Times are epoch milliseconds, names are the API's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

Custom = Mapping[str, object]
_NO_CUSTOM: Custom = MappingProxyType({})
EVERYBODY = 3  # visible_to: the entire company
OWNER_ONLY = 1


class Kind(StrEnum):
    """The objects with rows of their own."""

    DEAL = "deal"
    PERSON = "person"
    ORGANIZATION = "organization"
    LEAD = "lead"


class Change(NamedTuple):
    """One line of a changelog."""

    field_key: str
    old_value: str | None
    new_value: str | None
    at_ms: int
    actor_user_id: int
    source: str
    is_bulk: bool


def _no_custom() -> Custom:
    """One empty mapping for all."""
    return _NO_CUSTOM


@dataclass(slots=True, eq=False, kw_only=True)
class Row:
    """What all objects share. `custom` and `changes` are replaced, never altered, so that copies may share them."""

    id: int
    add_time: int
    update_time: int
    owner_id: int
    visible_to: int = EVERYBODY
    label_ids: tuple[object, ...] = ()
    deleted_ms: int | None = None
    merged_to: int | None = None
    custom: Custom = field(default_factory=_no_custom)
    changes: tuple[Change, ...] = ()


@dataclass(slots=True, eq=False, kw_only=True)
class Deal(Row):
    """A deal. Won and lost are statuses, not stages."""

    title: str = ""
    creator_user_id: int = 0
    person_id: int | None = None
    org_id: int | None = None
    pipeline_id: int = 0
    stage_id: int = 0
    value: float = 0
    currency: str = ""
    status: str = "open"
    probability: float | None = None
    lost_reason: str | None = None
    expected_close_date: str | None = None
    origin: str = "ManuallyCreated"
    origin_id: str | None = None
    channel: int | None = None
    channel_id: str | None = None
    source_lead_id: str | None = None
    stage_change_time: int | None = None
    won_time: int | None = None
    lost_time: int | None = None
    close_time: int | None = None
    first_won_time: int | None = None
    archive_time: int | None = None
    is_archived: bool = False
    participants: tuple[int, ...] = ()


@dataclass(slots=True, eq=False, kw_only=True)
class Person(Row):
    """A person. E-mails and phones are tuples of `{value, primary, label}`."""

    name: str = ""
    first_name: str | None = None
    last_name: str | None = None
    org_id: int | None = None
    emails: tuple[object, ...] = ()
    phones: tuple[object, ...] = ()
    postal_address: Mapping[str, object] | None = None
    notes: str | None = None
    job_title: str | None = None
    birthday: str | None = None
    marketing_status: str = "no_consent"


@dataclass(slots=True, eq=False, kw_only=True)
class Organization(Row):
    """An organization."""

    name: str = ""
    address: Mapping[str, object] | None = None
    website: str | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class Lead(Row):
    """A lead of the inbox: its id towards the world is `uuid`; its custom fields are the deals'."""

    uuid: str
    title: str = ""
    creator_id: int = 0
    person_id: int | None = None
    organization_id: int | None = None
    source_name: str = "Manually created"
    origin: str = "ManuallyCreated"
    origin_id: str | None = None
    channel: int | None = None
    channel_id: str | None = None
    source_deal_id: int | None = None
    is_archived: bool = False
    was_seen: bool = False
    value: Mapping[str, object] | None = None
    expected_close_date: str | None = None


ROW_TYPES: Mapping[Kind, type[Row]] = {
    Kind.DEAL: Deal,
    Kind.PERSON: Person,
    Kind.ORGANIZATION: Organization,
    Kind.LEAD: Lead,
}
TIMES = frozenset({"stage_change_time", "won_time", "lost_time", "close_time", "first_won_time", "archive_time"})
TUPLES = frozenset({"label_ids", "emails", "phones", "participants"})
UNWRITABLE = frozenset({"id", "uuid", "update_time", "deleted_ms", "merged_to", "custom", "changes"})
