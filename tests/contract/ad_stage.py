"""What every simulated ad platform offers the tests that all platforms must pass: one vocabulary for what happens there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import httpx

from connectors.contract.conversions import Identifier, Target, UploadRow
from connectors.simulators.faults import Fault, FaultPlan
from tests.contract.crm_stage import Clock

AD_BASE = "http://ads.test"


class AdAbility(StrEnum):
    """What not every platform has.

    OAUTH: access tokens that run out and are renewed. BY_CONTENT: no field for our id. VERDICTS: tells later what it recorded.
    NAMES_ROWS: a refused batch names its bad rows. PARTIAL: takes the good rows of a batch with bad ones. DEDUPS: documents
    that a second copy of one id is not counted.
    """

    OAUTH = "oauth"
    BY_CONTENT = "by_content"
    VERDICTS = "verdicts"
    NAMES_ROWS = "names_rows"
    PARTIAL = "partial"
    DEDUPS = "dedups"
    RESTATES = "restates"
    RETRACTS = "retracts"
    PROVISIONS = "provisions"
    SPEND = "spend"
    TEST_EVENTS = "test_events"


@dataclass(frozen=True, slots=True)
class AdFaults:
    """The vendor's own words for what goes wrong with a whole request; none of these has an effect.

    `throttled` is as the vendor says it, `throttled_with_wait` says how long (Retry-After or the vendor's like, 120 s).
    `refused`: the credentials lack a right to the account. `batch_refused`: the request is refused and no row is named.
    `unknown`: a code that no table knows. `more`: further ones by name.
    """

    expired_token: Fault
    throttled: Fault
    throttled_with_wait: Fault
    refused: Fault
    batch_refused: Fault
    unknown: Fault
    more: Mapping[str, Fault] = field(default_factory=dict)


class AdStage(Protocol):
    """A simulated ad account with people who clicked and came.

    `account_currency` and `account_zone` are the account's. Every person of `person` is known to the platform: each of their
    identifiers matches by itself, and their click was at `clicked_at` of the row that the tests give (see `clicked`).
    """

    kind: str
    abilities: frozenset[AdAbility]
    clock: Clock
    plan: FaultPlan
    faults: AdFaults
    account_currency: str
    account_zone: str
    # Codes with which the platform can refuse one row: such as pass, and such as never will. As many of ten as it documents.
    passing_codes: Sequence[str]
    final_codes: Sequence[str]

    def transport(self) -> httpx.AsyncBaseTransport:
        """The platform, all its hosts, as httpx reaches it under AD_BASE, behind `plan`."""
        ...

    def settings(self, *, oauth: bool = False) -> dict[str, str]:
        """A connection's settings as the registry takes them, `base_url` AD_BASE; with tokens that run out where asked."""
        ...

    def expire_tokens(self) -> None:
        """Let every access token run out now; a refresh gives a new one."""
        ...

    def revoke_grant(self) -> None:
        """The person who connected takes the grant back: no token works, and no refresh gives one."""
        ...

    def refreshes(self) -> int:
        """How often the token endpoint gave a token."""
        ...

    def target(self, milestone: str) -> Target:
        """A target that exists at the platform and takes values; another for each milestone."""
        ...

    def wrong_target(self) -> Target:
        """A target that looks right and does not exist there (Meta and TikTok: one that is no name at all)."""
        ...

    def person(self, number: int) -> Mapping[Identifier, str]:
        """Every identifier that the platform takes, of one person; well formed and known there."""
        ...

    def clicked(self, number: int, at: datetime) -> None:
        """The click (or lead form) of a person was at this instant; ten days before the stage's first instant without it."""
        ...

    def refuse(self, row: UploadRow, code: str) -> None:
        """From now on the platform refuses this row with one of `passing_codes` or `final_codes`, in its own words."""
        ...

    def relent(self) -> None:
        """Refuse no row any more."""
        ...

    def settle_verdicts(self) -> None:
        """Where VERDICTS: time enough passes for the platform to have processed what it took (`clock` goes on)."""
        ...

    def counted(self, row: UploadRow) -> int:
        """How many times the platform counts this row's conversion now: by id and target, else by content."""
        ...

    def value_of(self, row: UploadRow) -> Decimal | None:
        """The value that it counts for it (all copies together), in the row's currency."""
        ...

    def total_counted(self) -> int:
        """All conversions that the account counts now."""
        ...

    def requests(self) -> int:
        """Uploads and corrections asked so far, whatever came of them; token, status, read and report requests apart."""
        ...

    def bodies(self) -> Sequence[tuple[str, Mapping[str, object]]]:
        """Path and JSON body of these requests, in order, as they arrived."""
        ...

    def targets_there(self) -> int:
        """Where PROVISIONS: how many conversion actions, rules or goals the account has."""
        ...

    def add_spend(self, campaign_id: str, name: str, day: date, cost: Decimal, *, clicks: int = 0, impressions: int = 0) -> None:
        """Where SPEND: what a campaign cost on a day of the account; a second time replaces the first."""
        ...

    def rename_campaign(self, campaign_id: str, name: str) -> None:
        """Where SPEND: the campaign has another name from now on."""
        ...

    def drop_spend(self, campaign_id: str, day: date) -> None:
        """Where SPEND: the platform corrects a day to nothing at all."""
        ...
