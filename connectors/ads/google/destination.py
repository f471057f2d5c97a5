"""GoogleDestination: one Google Ads account behind the Data Manager API."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import ClassVar

import httpx

from connectors.ads.google.errors import (
    ERROR_REASONS,
    LOST_CODES,
    AccountRefused,
    Meaning,
    Refusal,
    account_error,
    call_error,
    mend,
    read_refusal,
    row_results,
)
from connectors.ads.google.payload import (
    ACTION_SETTING,
    ADDRESS,
    AGE_WITH_CLICK,
    AGE_WITHOUT_CLICK,
    BAD_ACTION,
    CLICK_IDS,
    Plan,
    action_of,
    healthcheck_body,
    is_action,
    plan,
)
from connectors.ads.google.settings import TOKEN_URL, GoogleSettings
from connectors.ads.google.status import read_status
from connectors.contract.conversions import Identifier, Target, UploadRow
from connectors.contract.destination import FOREVER, DestinationLimits
from connectors.contract.errors import AuthenticationFailed, Effect, RequestRefused, UnexpectedReply
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.results import Accepted, UploadResult, VerdictLost, VerdictReply
from connectors.contract.tokens import TokenStore
from connectors.http.auth import Auth, Lock, OAuthRefresh, ServiceAccountJwt, StaticToken
from connectors.http.client import Clock, Hooks, HttpClient
from connectors.http.rate_limit import Rate, RateLimits
from connectors.http.reply import Reply

SCOPE = "https://www.googleapis.com/auth/datamanager"
_INGEST = "/v1/events:ingest"
_STATUS = "/v1/requestStatus:retrieve"
# 300 requests in a minute for the whole Cloud project.
_RATES = {"general": Rate(5, timedelta(seconds=1))}

_USER_DATA = frozenset({Identifier.EMAIL_GOOGLE_SHA256, Identifier.PHONE_SHA256, *ADDRESS})


class GoogleDestination:
    """Uploads conversions to one Google Ads account and asks what became of them."""

    kind: ClassVar[str] = "google"
    limits: ClassVar[DestinationLimits] = DestinationLimits(
        rows=2000,
        usual_rows=500,
        targets=10,
        age_with_click=AGE_WITH_CLICK,
        age_without_click=AGE_WITHOUT_CLICK,
        too_recent_click=timedelta(hours=6),
        dedup_window=FOREVER,
        verdict_after=timedelta(minutes=30),
        restates=True,
        retracts=False,
        correction_after=timedelta(hours=24),
        correction_within=timedelta(days=54),
        target_settings=frozenset({ACTION_SETTING}),
        identifiers=_USER_DATA | frozenset(CLICK_IDS),
        click_identifiers=frozenset(CLICK_IDS),
        sufficient=(
            *(frozenset({each}) for each in CLICK_IDS),
            frozenset({Identifier.EMAIL_GOOGLE_SHA256}),
            frozenset({Identifier.PHONE_SHA256}),
            frozenset(ADDRESS),
        ),
    )

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: GoogleSettings,
        tokens: TokenStore,
        lock: Lock,
        clock: Clock,
        hooks: Hooks = Hooks(),
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._http = HttpClient(
            client,
            vendor="Google",
            base_url=settings.base_url,
            auth=_auth(client, settings, tokens, lock, clock),
            classify=lambda reply: call_error(reply, clock()),
            rate_limits=RateLimits(_RATES, clock),
            hooks=hooks,
            clock=clock,
        )

    async def upload(self, rows: Sequence[UploadRow], now: datetime) -> Sequence[UploadResult]:
        """Send the rows in one request (none at all where nothing valid is left) and say what became of each."""
        planned = plan(rows, self._settings, now)
        results: dict[int, UploadResult] = dict(planned.refused)
        if planned.sent:
            reply = await self._http.send("POST", _INGEST, json=planned.body)
            targets = [action_of(rows[position]) for position in planned.sent]
            results.update(zip(planned.sent, _judge(reply, planned, targets, now), strict=True))
        return [results[position] for position in range(len(rows))]

    async def verdict(self, receipt: str, sent: int, now: datetime) -> VerdictReply:
        """What became of the `sent` rows accepted under this receipt. Raises ConnectorError where the call failed."""
        reply = await self._http.read("GET", _STATUS, params={"requestId": receipt})
        if reply.status < HTTPStatus.BAD_REQUEST:
            return read_status(reply.json_object(), sent, now, self._settings.record_indices_base)
        refusal = read_refusal(reply.body)
        lost = next((code for code in refusal.codes if code in LOST_CODES), None)
        if lost is not None:
            return VerdictLost(lost)
        raise _request_refused(refusal, reply)

    async def check(self, targets: Mapping[str, Target]) -> Sequence[Finding]:
        """Prove token, account and each target by a dry run; refusals become findings, outages are raised."""
        actions = {milestone: target.get(ACTION_SETTING) or "" for milestone, target in targets.items()}
        good = [action for action in dict.fromkeys(actions.values()) if is_action(action)]
        verdicts: dict[str, Finding] = {}
        try:
            if not good:
                await self._http.read("GET", _STATUS, params={"requestId": "healthcheck"})
            for action in good:
                verdicts[action] = await self._check_action(action)
        except AccountRefused as error:
            head = [_OK_TOKEN, Finding("account", FindingStatus.FAILED, error.message, mend(error.code))]
        except AuthenticationFailed as error:
            advice = (
                mend(error.code)
                if error.status == HTTPStatus.FORBIDDEN
                else "connect again with credentials of a user of the account"
            )
            head = [Finding("token", FindingStatus.FAILED, error.message, advice), _UNPROVEN_ACCOUNT]
        except RequestRefused as error:
            head = [Finding("token", FindingStatus.UNPROVEN, error.message, "check base_url and the settings"), _UNPROVEN_ACCOUNT]
        else:
            account = Finding("account", FindingStatus.OK, "Google takes conversions for the account from this credential")
            head = [_OK_TOKEN, account if good else _UNPROVEN_ACCOUNT]
        return [*head, *(_target_finding(milestone, action, verdicts) for milestone, action in actions.items())]

    async def _check_action(self, action: str) -> Finding:
        """The finding on one action, still without its subject; raises where the account or the credential is refused."""
        body = healthcheck_body(action, self._settings, self._clock())
        reply = await self._http.read("POST", _INGEST, json=body)
        if reply.status < HTTPStatus.BAD_REQUEST:
            return Finding("", FindingStatus.OK, f"Google takes conversions for conversion action {action}")
        refusal = read_refusal(reply.body)
        problem = account_error(refusal, reply.status)
        if problem is not None:
            raise problem
        code = next(filter(None, refusal.codes), "INVALID_ARGUMENT")
        text = next((each.message for each in refusal.violations if each.message), refusal.message)
        message = f"Google refuses conversion action {action} ({code}): {text}"
        if ERROR_REASONS.get(code) in (Meaning.DELAY, Meaning.RETRY):
            return Finding("", FindingStatus.UNPROVEN, message, "check again in 6 hours")
        advice = "name an enabled conversion action of kind import from clicks (UPLOAD_CLICKS) that this account owns"
        return Finding("", FindingStatus.FAILED, message, advice)


_OK_TOKEN = Finding("token", FindingStatus.OK, "Google accepts the credentials and their scope")
_UNPROVEN_ACCOUNT = Finding("account", FindingStatus.UNPROVEN, "the account could not be tested", "mend the rest, check again")


def _target_finding(milestone: str, action: str, verdicts: Mapping[str, Finding]) -> Finding:
    subject = f"target:{milestone}"
    if not is_action(action):
        return Finding(subject, FindingStatus.FAILED, "the target is no conversion action", BAD_ACTION)
    found = verdicts.get(action)
    if found is None:
        return Finding(subject, FindingStatus.UNPROVEN, "not tested", "mend token and account first")
    return Finding(subject, found.status, found.message, found.mend)


def _judge(reply: Reply, planned: Plan, targets: Sequence[str], now: datetime) -> Sequence[UploadResult]:
    """The results of the sent events, in order."""
    if reply.status < HTTPStatus.BAD_REQUEST:
        request_id = reply.json_object().get("requestId")
        if not isinstance(request_id, str) or not request_id:
            raise UnexpectedReply("Google took the events without a requestId", effect=Effect.UNKNOWN, status=reply.status)
        return [Accepted(request_id, position) for position in range(len(targets))]
    refusal = read_refusal(reply.body)
    if reply.status != HTTPStatus.BAD_REQUEST:
        raise _request_refused(refusal, reply)
    problem = account_error(refusal, reply.status)
    if problem is not None:
        raise problem
    return row_results(refusal, planned, targets, now)


def _request_refused(refusal: Refusal, reply: Reply) -> RequestRefused:
    message = f"Google refuses the request with {reply.status} ({refusal.code or 'no code'}): {refusal.message}"
    return RequestRefused(message, code=refusal.code, status=reply.status)


def _auth(client: httpx.AsyncClient, settings: GoogleSettings, tokens: TokenStore, lock: Lock, clock: Clock) -> Auth:
    if settings.access_token:
        return StaticToken(settings.access_token)
    if settings.service_account_json:
        key = settings.service_account()
        return ServiceAccountJwt(
            client,
            vendor="Google",
            token_url=settings.token_url,
            issuer=key["client_email"],
            private_key=key["private_key"],
            key_id=key.get("private_key_id"),
            audience=TOKEN_URL,
            scope=SCOPE,
            store=tokens,
            lock=lock,
            clock=clock,
        )
    return OAuthRefresh(
        client,
        vendor="Google",
        token_url=settings.token_url,
        client_id=settings.client_id or "",
        client_secret=settings.client_secret or "",
        refresh_token=settings.refresh_token,
        store=tokens,
        lock=lock,
        clock=clock,
    )
