"""One LinkedIn ad account: uploads through the Conversions API. Rules are made in provision.py, spend is read in spend.py."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import ClassVar

import httpx

from connectors.ads.linkedin import provision, spend
from connectors.ads.linkedin.api import Api
from connectors.ads.linkedin.check import check_account
from connectors.ads.linkedin.payload import LIMITS, build
from connectors.ads.linkedin.refusals import failure_of, is_of_rows, judge_element, read_refusal, read_statuses
from connectors.ads.linkedin.settings import LinkedInSettings
from connectors.ads.linkedin.versions import API, sunset_of
from connectors.contract.conversions import Target, UploadRow
from connectors.contract.destination import DestinationLimits
from connectors.contract.findings import Finding
from connectors.contract.provisioning import PlannedTarget, WantedTarget
from connectors.contract.results import Accepted, UploadResult
from connectors.contract.spend import SpendPage, SpendPending
from connectors.contract.tokens import TokenStore
from connectors.contract.versions import ApiVersion
from connectors.http.auth import Auth, Lock, OAuthRefresh, StaticToken
from connectors.http.client import Clock, Hooks, HttpClient, Sleep
from connectors.http.rate_limit import Rate, RateLimits

__all__ = ["LinkedInDestination", "LinkedInSettings"]

VENDOR = "LinkedIn"
EVENTS = "/rest/conversionEvents"
REQUESTS = Rate(600, timedelta(minutes=1))


def auth_from(settings: LinkedInSettings, client: httpx.AsyncClient, tokens: TokenStore, lock: Lock, clock: Clock) -> Auth:
    """How the connection proves itself: a token of Campaign Manager, or an app's grant."""
    if settings.access_token is not None:
        return StaticToken(settings.access_token)
    return OAuthRefresh(
        client,
        vendor=VENDOR,
        token_url=settings.token_url,
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        refresh_token=settings.refresh_token,
        store=tokens,
        lock=lock,
        clock=clock,
    )


class LinkedInDestination:
    """Uploads conversions of one ad account. LinkedIn says nothing later of a single event and corrects none."""

    kind: ClassVar[str] = "linkedin"
    limits: ClassVar[DestinationLimits] = LIMITS
    spend_days: ClassVar[int] = spend.MOST_DAYS

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: LinkedInSettings,
        auth: Auth,
        clock: Clock,
        hooks: Hooks = Hooks(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._headers = {"Linkedin-Version": settings.api_version, "X-Restli-Protocol-Version": "2.0.0"}
        self._http = HttpClient(
            client,
            vendor=VENDOR,
            base_url=settings.base_url,
            auth=auth,
            classify=lambda reply: failure_of(reply, clock()),
            is_readers=is_of_rows,
            rate_limits=RateLimits({"general": REQUESTS}, clock, sleep),
            hooks=hooks,
            clock=clock,
            sleep=sleep,
        )

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        LinkedInSettings.from_mapping(settings)

    @classmethod
    def open(
        cls,
        settings: Mapping[str, str],
        http: httpx.AsyncClient,
        tokens: TokenStore,
        lock: Lock,
        clock: Clock,
        hooks: Hooks,
        sleep: Sleep,
    ) -> "LinkedInDestination":
        """A connector from its text settings."""
        chosen = LinkedInSettings.from_mapping(settings)
        return cls(http, chosen, auth_from(chosen, http, tokens, lock, clock), clock, hooks, sleep)

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """Ask for the account and each rule; that events are taken is proven by a real one only, and said so."""
        return await check_account(targets, self._settings, self._api())

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Send conversions in one request (none at all where nothing valid is left) and say what became of each."""
        draft = build(rows, now)
        if not draft.rows:
            return draft.results([])
        headers = {**self._headers, "X-RestLi-Method": "BATCH_CREATE"}
        reply = await self._http.send("POST", EVENTS, json=draft.body, headers=headers)
        if reply.status >= HTTPStatus.BAD_REQUEST:
            return draft.results(read_refusal(reply, draft))
        statuses = read_statuses(reply, len(draft.rows))
        judged = [judge_element(one, rule) or Accepted() for one, rule in zip(statuses, draft.targets, strict=True)]
        return draft.results(judged)

    def api_versions(self) -> Sequence[ApiVersion]:
        """One version for all."""
        return [ApiVersion(API, self._settings.api_version, sunset_of(self._settings.api_version))]

    async def spend(self, first: date, last: date, page: str | None = None) -> SpendPage | SpendPending:
        """One page of what campaigns cost."""
        return await spend.read_page(self._api(), self._settings, first, last, page)

    async def plan(self, wanted: Sequence[WantedTarget]) -> Sequence[PlannedTarget]:
        """Which conversion rules there are and which would be made."""
        return await provision.plan(wanted, self._settings, self._api())

    async def provision(self, wanted: Sequence[WantedTarget]) -> Sequence[PlannedTarget]:
        """Make the rules that are missing."""
        return await provision.provision(wanted, self._settings, self._api())

    def _api(self) -> Api:
        return Api(self._http, self._headers)
