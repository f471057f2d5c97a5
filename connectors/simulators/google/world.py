"""What exists on the simulated platform before anybody uploads: accounts, conversion actions, clicks, people who saw ads."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from connectors.simulators.google.request import ClickKind, Consent

LONGEST_CLICK_WINDOW = timedelta(days=90)


class Counting(StrEnum):
    """How often one click may convert in one action."""

    ONE_PER_CLICK = "ONE_PER_CLICK"
    MANY_PER_CLICK = "MANY_PER_CLICK"


class EnhancedConversions(StrEnum):
    """What an account makes of hashed identifiers; sources differ on whether OFF refuses or ignores them."""

    ON = "on"
    OFF = "off"
    OFF_UNNOTICED = "off_unnoticed"
    TERMS_NOT_SIGNED = "terms_not_signed"


@dataclass(slots=True)
class ConversionAction:
    """A conversion action of an account."""

    id: str
    created_at: datetime
    kind: str = "UPLOAD_CLICKS"
    counting: Counting = Counting.MANY_PER_CLICK
    is_enabled: bool = True
    click_window: timedelta = LONGEST_CLICK_WINDOW
    default_value: float = 1.0
    always_uses_default_value: bool = False
    name: str = ""
    category: str = "DEFAULT"


@dataclass(slots=True)
class Account:
    """A Google Ads account with its actions and the managers that have access to it."""

    id: str
    actions: dict[str, ConversionAction] = field(default_factory=dict)
    managers: frozenset[str] = frozenset()
    enhanced_conversions: EnhancedConversions = EnhancedConversions.ON
    default_consent: Consent = Consent.UNSPECIFIED
    currency: str = "USD"
    time_zone: str = "America/New_York"
    has_auto_tagging: bool = True
    has_data_terms: bool = True


@dataclass(frozen=True, slots=True)
class Click:
    """A click on an ad of an account."""

    id: str
    account: str
    clicked_at: datetime
    kind: ClickKind = ClickKind.GCLID


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who clicked an ad while signed in: SHA-256 digests (hex) of their e-mails and phones."""

    digests: frozenset[str]
    account: str
    clicked_at: datetime


@dataclass(slots=True)
class World:
    """All that exists, looked up by what events carry."""

    accounts: dict[str, Account] = field(default_factory=dict)
    clicks: dict[tuple[ClickKind, str], Click] = field(default_factory=dict)
    people: dict[str, list[Person]] = field(default_factory=dict)

    def is_of(self, account: str, operating: str) -> bool:
        """Whether an ad of `account` reports to `operating`: itself, or a manager that tracks conversions for it."""
        owner = self.accounts.get(account)
        return account == operating or (owner is not None and operating in owner.managers)

    def find_person(self, digests: frozenset[str], operating: str, not_after: datetime) -> Person | None:
        """The latest ad click of the person behind the digests, before the event if there is one."""
        found = {person for digest in digests for person in self.people.get(digest, ()) if self.is_of(person.account, operating)}
        earlier = [person for person in found if person.clicked_at <= not_after]
        return max(earlier or found, key=lambda person: person.clicked_at, default=None)
