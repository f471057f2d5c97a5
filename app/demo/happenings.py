"""What happens in the demo's CRM, as plain values: who did what to which record, when, and what became of its webhook."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

CONTACTS = "contacts"
DEALS = "deals"


class What(StrEnum):
    """What happens in the CRM."""

    CREATE = "create"
    UPDATE = "update"
    ASSOCIATE = "associate"
    MERGE = "merge"
    DELETE = "delete"


class Webhook(StrEnum):
    """What becomes of the webhook that tells of a happening; `late` arrives some hours after it."""

    DELIVERED = "delivered"
    LOST = "lost"
    DUPLICATED = "duplicated"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Happening:
    """One act in the CRM. `key` names a record of this world, for ever.

    ASSOCIATE links the deal `key` with the contact `other`, under `label` where there is one. MERGE takes `other` into `key`;
    where `new_key` is set the survivor is a new record of that key, as HubSpot's newer merges make it.
    """

    at: datetime
    what: What
    kind: str
    key: str
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    other: str = ""
    label: str = ""
    new_key: str = ""
    webhook: Webhook = Webhook.DELIVERED
