"""The day's API tokens: what each call costs, what we have spent, how often that lets us poll, when history must be cheap."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from connectors.contract.records import ObjectKind
from connectors.http.client import Clock


class Call(StrEnum):
    """The calls that we make, as Pipedrive prices them."""

    ONE = "get one"
    LIST = "list"
    ARCHIVED_DEALS = "archived deals"
    ONE_LEAD = "get one lead"
    LEADS = "leads"
    ARCHIVED_LEADS = "archived leads"
    CHANGELOG = "changelog"
    FIELDS = "fields"
    LEAD_FIELDS = "lead fields"
    LEAD_LABELS = "lead labels"
    PIPELINES = "pipelines"
    STAGES = "stages"
    CURRENCIES = "currencies"
    ME = "users/me"
    WEBHOOKS = "webhooks"
    ADD_WEBHOOK = "add webhook"
    REMOVE_WEBHOOK = "remove webhook"
    UPDATE = "update"
    UPDATE_LEAD = "update lead"


# `x-token-cost` of Pipedrive's OpenAPI files, August 2026.
COSTS: Mapping[Call, int] = {
    Call.ONE: 1,
    Call.LIST: 10,
    Call.ARCHIVED_DEALS: 20,
    Call.ONE_LEAD: 2,
    Call.LEADS: 20,
    Call.ARCHIVED_LEADS: 40,
    Call.CHANGELOG: 20,
    Call.FIELDS: 10,
    Call.LEAD_FIELDS: 20,
    Call.LEAD_LABELS: 10,
    Call.PIPELINES: 5,
    Call.STAGES: 5,
    Call.CURRENCIES: 20,
    Call.ME: 2,
    Call.WEBHOOKS: 10,
    Call.ADD_WEBHOOK: 10,
    Call.REMOVE_WEBHOOK: 6,
    Call.UPDATE: 5,
    Call.UPDATE_LEAD: 10,
}

SMALLEST_DAILY_TOKENS = 30_000
# How the share is dealt out where nothing happens; the rest is for pages of changes, histories, webhooks and checks.
POLLING = 0.55
ARCHIVES = 0.25
FASTEST_POLL = timedelta(minutes=5)
FASTEST_ARCHIVE = timedelta(hours=1)
SLOWEST = timedelta(hours=24)
DAY = timedelta(days=1)
# Less than this part of the company's day left: others need it more than our histories.
LITTLE_IS_LEFT = 0.1

_POLLED = COSTS[Call.LIST] + COSTS[Call.LIST] + COSTS[Call.LEADS]  # deals, persons, leads
_ARCHIVED = COSTS[Call.ARCHIVED_DEALS] + COSTS[Call.ARCHIVED_LEADS]

# Seen in answers, not documented, not always there.
LIMIT_HEADERS = ("x-daily-ratelimit-token-limit",)
LEFT_HEADERS = ("x-daily-ratelimit-token-remaining",)
SPENT_HEADERS = (*LEFT_HEADERS, "x-daily-requests-left")


class TokenBudget:
    """One company's day. `daily_tokens` is configured, else learnt from answers, else the smallest plan's.

    Counts what this process spent since midnight UTC; other apps' spending is known only from the vendor's headers.
    """

    def __init__(self, clock: Clock, daily_tokens: int | None, share: float) -> None:
        self._clock = clock
        self._configured = daily_tokens
        self._share = share
        self._learnt: int | None = None
        self._left: int | None = None
        self._day = _day(clock())
        self._spent = 0
        self._cheap = 0

    @property
    def daily_tokens(self) -> int:
        """What the company may spend a day."""
        return self._configured or self._learnt or SMALLEST_DAILY_TOKENS

    @property
    def is_known(self) -> bool:
        """Whether the company's budget was configured or told by Pipedrive."""
        return (self._configured or self._learnt) is not None

    @property
    def share_tokens(self) -> int:
        """What we may spend a day."""
        return max(int(self.daily_tokens * self._share), 1)

    @property
    def spent(self) -> int:
        """What this process has spent since midnight UTC."""
        self._turn_page()
        return self._spent

    @property
    def left(self) -> int | None:
        """What Pipedrive says is left of the company's day, None where it said nothing today."""
        self._turn_page()
        return self._left

    @property
    def cheap_reads(self) -> int:
        """How many records of today were read without their changelog, though they moved."""
        self._turn_page()
        return self._cheap

    def note_cheap_read(self) -> None:
        """A record that moved was read without its changelog."""
        self._turn_page()
        self._cheap += 1

    def spend(self, call: Call, headers: Mapping[str, str]) -> None:
        """A call was answered: count it, and learn what its headers tell."""
        self._turn_page()
        self._spent += COSTS[call]
        limit, left = _number(headers, LIMIT_HEADERS), _number(headers, LEFT_HEADERS)
        self._learnt = limit or self._learnt
        self._left = self._left if left is None else left

    def allows_history(self) -> bool:
        """Whether a changelog may be read: our share is not spent, and the company's day is not nearly so."""
        return self.histories_left() > 0

    def histories_left(self) -> int:
        """How many changelogs of a page our share holds; none where the company's day is nearly spent."""
        left = self.left
        if left is not None and left < LITTLE_IS_LEFT * self.daily_tokens:
            return 0
        return max(self.share_tokens - self.spent, 0) // COSTS[Call.CHANGELOG]

    def poll_every(self, kind: ObjectKind) -> timedelta:
        """How long between two polls of a kind, so that a day without changes stays under the share.

        Reckoned as if deals, persons and leads were all polled.
        """
        del kind
        return _interval(_POLLED, POLLING * self.share_tokens, FASTEST_POLL)

    @property
    def archive_every(self) -> timedelta:
        """How long between two readings of a list of archived records."""
        return _interval(_ARCHIVED, ARCHIVES * self.share_tokens, FASTEST_ARCHIVE)

    def _turn_page(self) -> None:
        today = _day(self._clock())
        if today != self._day:
            self._day, self._spent, self._cheap, self._left = today, 0, 0, None


def _interval(tokens: int, a_day: float, fastest: timedelta) -> timedelta:
    return min(max(timedelta(seconds=round(DAY.total_seconds() * tokens / a_day)), fastest), SLOWEST)


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _number(headers: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = headers.get(name, "").strip()
        if value.isascii() and value.isdigit():
            return int(value)
    return None
