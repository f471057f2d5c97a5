"""One Google Ads account: uploads through the Data Manager API and their late verdicts. The check is in check.py."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import ClassVar, assert_never

import httpx

from connectors.ads.google import provision, spend
from connectors.ads.google.adjustments import build_retractions, not_admitted, read_adjusted, without_grant
from connectors.ads.google.ads_api import SCOPE as ADS_SCOPE
from connectors.ads.google.ads_api import AdsApi
from connectors.ads.google.ads_refusals import ads_failure_of
from connectors.ads.google.check import check_account
from connectors.ads.google.check_ads import check_ads
from connectors.ads.google.errors import Meaning, refusal
from connectors.ads.google.payload import LIMITS, build
from connectors.ads.google.refusals import failure_of, read_fault, read_refusal, whole_failure
from connectors.ads.google.settings import TOKEN_URL, AccessToken, GoogleSettings, OAuthClient, ServiceAccount
from connectors.ads.google.status import read_verdict
from connectors.ads.google.versions import ADS, DATA_MANAGER, ads_sunset
from connectors.contract.conversions import DeliveryKind, Target, UploadRow
from connectors.contract.destination import DestinationLimits
from connectors.contract.errors import AuthenticationFailed, Effect, UnexpectedReply
from connectors.contract.findings import Finding
from connectors.contract.provisioning import PlannedTarget, WantedTarget
from connectors.contract.results import Accepted, UploadResult, VerdictLost, VerdictReply
from connectors.contract.spend import SpendPage, SpendPending
from connectors.contract.tokens import TokenStore
from connectors.contract.versions import ApiVersion
from connectors.http.auth import Auth, Lock, OAuthRefresh, ServiceAccountJwt, StaticToken
from connectors.http.client import Clock, Hooks, HttpClient, Sleep
from connectors.http.rate_limit import Rate, RateLimits
from connectors.http.reply import Reply
from connectors.upload.draft import Draft

__all__ = ["GoogleDestination", "GoogleSettings", "auth_from"]

VENDOR = "Google"
# One token for both APIs: a scope that the account never gave is refused by the API that wants it, not by the token endpoint.
SCOPE = f"https://www.googleapis.com/auth/datamanager {ADS_SCOPE}"
# Limits page of the Data Manager API (2026-11): uploads and status calls share 300 a minute of a Cloud project.
REQUESTS = Rate(300, timedelta(minutes=1))
ADS_REQUESTS = Rate(300, timedelta(minutes=1))


def auth_from(settings: GoogleSettings, client: httpx.AsyncClient, tokens: TokenStore, lock: Lock, clock: Clock) -> Auth:
    """How the connection proves itself, by the kind of credential that its settings hold."""
    match settings.credentials:
        case ServiceAccount(email, private_key, key_id):
            return ServiceAccountJwt(
                client,
                vendor=VENDOR,
                token_url=settings.token_url,
                issuer=email,
                private_key=private_key,
                # Google wants its own address here, even where a proxy stands before it.
                audience=TOKEN_URL,
                store=tokens,
                lock=lock,
                clock=clock,
                scope=SCOPE,
                key_id=key_id,
            )
        case OAuthClient(client_id, client_secret, refresh_token):
            return OAuthRefresh(
                client,
                vendor=VENDOR,
                token_url=settings.token_url,
                client_id=client_id,
                client_secret=client_secret,
                refresh_token=refresh_token,
                store=tokens,
                lock=lock,
                clock=clock,
            )
        case AccessToken(token):
            return StaticToken(token)
        case _:
            assert_never(settings.credentials)


class GoogleDestination:
    """Uploads conversions of one Google Ads account, corrects them, and asks for their late verdicts."""

    kind: ClassVar[str] = "google"
    limits: ClassVar[DestinationLimits] = LIMITS
    spend_days: ClassVar[int] = spend.MOST_DAYS

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: GoogleSettings,
        auth: Auth,
        clock: Clock,
        hooks: Hooks = Hooks(),
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._auth = auth
        self._clock = clock
        self._http = HttpClient(
            client,
            vendor=VENDOR,
            base_url=settings.base_url,
            auth=auth,
            classify=lambda reply: failure_of(reply, clock()),
            rate_limits=RateLimits({"general": REQUESTS}, clock, sleep),
            hooks=hooks,
            clock=clock,
            sleep=sleep,
        )
        ads = HttpClient(
            client,
            vendor=f"{VENDOR} Ads",
            base_url=settings.ads_base_url,
            auth=auth,
            classify=lambda reply: ads_failure_of(reply, clock()),
            rate_limits=RateLimits({"ads": ADS_REQUESTS}, clock, sleep),
            hooks=hooks,
            clock=clock,
            sleep=sleep,
        )
        self._ads = AdsApi(ads, settings)

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        GoogleSettings.from_mapping(settings)

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
    ) -> "GoogleDestination":
        """A connector from its text settings."""
        chosen = GoogleSettings.from_mapping(settings)
        return cls(http, chosen, auth_from(chosen, http, tokens, lock, clock), clock, hooks, sleep)

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """Exchange the token, let Google validate (not count) an event for each conversion action, and look at the actions."""
        findings = await check_account(targets, self._auth, self._validate, self._clock())
        return [*findings, *await check_ads(targets, self._ads, findings)]

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Send conversions in one request (none at all where nothing valid is left) and say what became of each."""
        return await self._ingest(build(rows, self._settings, now, kind=DeliveryKind.UPLOAD), now)

    async def adjust(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Restate by the same id through the Data Manager API; retract through the Google Ads API, where granted."""
        if all(one.kind is DeliveryKind.RETRACT for one in rows):
            return await self._retract(rows, now)
        return await self._ingest(build(rows, self._settings, now, kind=DeliveryKind.RESTATE), now)

    async def spend(self, first: date, last: date, page: str | None = None) -> SpendPage | SpendPending:
        """What campaigns cost, all of it on one page."""
        del page
        return await spend.read_page(self._ads, first, last)

    async def plan(self, wanted: Sequence[WantedTarget]) -> Sequence[PlannedTarget]:
        """Which conversion actions there are and which would be made."""
        return await provision.plan(wanted, self._ads)

    async def provision(self, wanted: Sequence[WantedTarget]) -> Sequence[PlannedTarget]:
        """Make the conversion actions that are missing."""
        return await provision.provision(wanted, self._ads)

    async def _retract(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        if not self._settings.retracts:
            return without_grant(len(rows), "retractions_off")
        draft = build_retractions(rows, self._settings, now)
        if not draft.rows:
            return draft.results([])
        try:
            reply = await self._ads.adjust(draft.body)
        except AuthenticationFailed as error:
            return draft.results(not_admitted(error, len(draft.rows)))
        return draft.results(read_adjusted(reply, draft, [rows[place].occurred_at for place in draft.rows], now))

    async def _ingest(self, draft: Draft, now: datetime) -> Sequence[UploadResult]:
        if not draft.rows:
            return draft.results([])
        reply = await self._http.send("POST", self._path("events:ingest"), json=draft.body)
        if reply.status >= HTTPStatus.BAD_REQUEST:
            return draft.results(read_refusal(reply, draft, now))
        receipt = _receipt(reply)
        return draft.results([Accepted(receipt, position) for position in range(len(draft.rows))])

    def api_versions(self) -> Sequence[ApiVersion]:
        """The Data Manager API for uploads, the Google Ads API for the rest."""
        ads = self._settings.ads_api_version
        return [ApiVersion(DATA_MANAGER, self._settings.api_version), ApiVersion(ADS, ads, ads_sunset(ads))]

    async def verdict(self, receipt: str, sent: int, now: datetime) -> VerdictReply:
        """What became of the `sent` rows accepted under this receipt. Raises ConnectorError where the call failed."""
        reply = await self._http.read("GET", self._path("requestStatus:retrieve"), params={"requestId": receipt})
        if reply.status < HTTPStatus.BAD_REQUEST:
            return read_verdict(reply.json_object(), sent=sent, now=now, index_base=self._settings.record_indices_base)
        fault = read_fault(reply.body)
        if fault is None:
            raise UnexpectedReply(
                f"Google answered the status question with {reply.status} and no error object; check base_url and api_version",
                effect=Effect.NONE,
                status=reply.status,
            )
        lost = [one.code for one in fault.violations if refusal(one.code) is Meaning.RECEIPT]
        if lost or reply.status == HTTPStatus.NOT_FOUND:
            return VerdictLost(lost[0] if lost else fault.code)
        raise whole_failure(fault, reply.status)

    async def _validate(self, row: UploadRow, now: datetime) -> UploadResult:
        """Google's judgement of one row that it shall not count. Raises ConnectorError where the call failed."""
        draft = build([row], self._settings, now, kind=DeliveryKind.UPLOAD, validate_only=True)
        if not draft.rows:
            return draft.results([])[0]
        reply = await self._http.read("POST", self._path("events:ingest"), json=draft.body)
        if reply.status >= HTTPStatus.BAD_REQUEST:
            return draft.results(read_refusal(reply, draft, now))[0]
        reply.json_object()
        return Accepted()

    def _path(self, method: str) -> str:
        return f"/{self._settings.api_version}/{method}"


def _receipt(reply: Reply) -> str:
    request_id = reply.json_object().get("requestId")
    if not isinstance(request_id, str) or not request_id:
        raise UnexpectedReply("Google took the upload and gave no requestId", effect=Effect.UNKNOWN, status=reply.status)
    return request_id
