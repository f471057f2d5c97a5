"""How much a company lets through: a budget of tokens a day, bursts of two seconds, and a block for those who do not listen."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from connectors.simulators.pipedrive.errors import Refusal, blocked, burst_spent, day_spent
from connectors.simulators.pipedrive.instants import DAY, millis
from connectors.simulators.pipedrive.tokens import Caller

BASE_BUDGET = 30_000
WINDOW_MS = 2_000
BLOCK = timedelta(minutes=30)
_PATIENCE_MS = 10_000


class Plan(StrEnum):
    """What the company pays for."""

    LITE = "lite"
    GROWTH = "growth"
    PREMIUM = "premium"
    ULTIMATE = "ultimate"


FACTOR = {Plan.LITE: 1, Plan.GROWTH: 2, Plan.PREMIUM: 5, Plan.ULTIMATE: 7}
BURST = {Plan.LITE: 20, Plan.GROWTH: 40, Plan.PREMIUM: 100, Plan.ULTIMATE: 120}
OAUTH_BURST = {Plan.LITE: 80, Plan.GROWTH: 160, Plan.PREMIUM: 400, Plan.ULTIMATE: 480}


@dataclass(slots=True)
class _Window:
    start_ms: int
    count: int = 0


class Limits:
    """Counts calls and tokens. `daily`, `burst`, `oauth_burst` and `patience` may be set by a test.

    `patience` is how many 429s within ten seconds it takes until the caller is blocked.
    """

    def __init__(self, plan: Plan, seats: int) -> None:
        self.daily = BASE_BUDGET * FACTOR[plan] * seats
        self.burst = BURST[plan]
        self.oauth_burst = OAUTH_BURST[plan]
        self.patience = 30
        self.blocked_until_ms = 0
        self._windows: dict[str, _Window] = {}
        self._refused: deque[int] = deque()
        self._day: tuple[int, int] = (0, 0)

    def admit(self, caller: Caller, cost: int, now: datetime) -> None:
        """Charge a call, or refuse it with 429 or the block's 403; a refused call costs nothing."""
        now_ms = millis(now)
        if now_ms < self.blocked_until_ms:
            raise blocked()
        window = self._window(caller, now_ms)
        if self.spent_today(now) + cost > self.daily:
            raise self._too_many(day_spent(), now_ms)
        if window.count >= self._burst(caller):
            raise self._too_many(burst_spent(self._seconds_left(window, now_ms)), now_ms)
        window.count += 1
        self._day = (now_ms // DAY, self.spent_today(now) + cost)

    def headers(self, caller: Caller, now: datetime) -> dict[str, str]:
        """What goes with every answer of the API."""
        now_ms = millis(now)
        window = self._window(caller, now_ms)
        return {
            "x-ratelimit-limit": str(self._burst(caller)),
            "x-ratelimit-remaining": str(max(self._burst(caller) - window.count, 0)),
            "x-ratelimit-reset": str(self._seconds_left(window, now_ms)),
            "x-daily-ratelimit-token-limit": str(self.daily),
            "x-daily-ratelimit-token-remaining": str(max(self.daily - self.spent_today(now), 0)),
        }

    def spend(self, tokens: int, now: datetime) -> None:
        """What other apps of the company spend of the same budget."""
        self._day = (millis(now) // DAY, self.spent_today(now) + tokens)

    def block(self, now: datetime) -> None:
        """Block every caller for half an hour, as after ignored 429s."""
        self.blocked_until_ms = millis(now + BLOCK)

    def spent_today(self, now: datetime) -> int:
        """Tokens charged since midnight UTC."""
        day, spent = self._day
        return spent if day == millis(now) // DAY else 0

    def _window(self, caller: Caller, now_ms: int) -> _Window:
        window = self._windows.get(caller.token)
        if window is None or now_ms >= window.start_ms + WINDOW_MS:
            window = self._windows[caller.token] = _Window(now_ms)
        return window

    def _too_many(self, refused: Refusal, now_ms: int) -> Refusal:
        while self._refused and self._refused[0] <= now_ms - _PATIENCE_MS:
            self._refused.popleft()
        self._refused.append(now_ms)
        if len(self._refused) <= self.patience:
            return refused
        self._refused.clear()
        self.blocked_until_ms = now_ms + BLOCK // timedelta(milliseconds=1)
        return blocked()

    def _burst(self, caller: Caller) -> int:
        return self.oauth_burst if caller.is_oauth else self.burst

    @staticmethod
    def _seconds_left(window: _Window, now_ms: int) -> int:
        return max(-(-(window.start_ms + WINDOW_MS - now_ms) // 1000), 1)
