"""Proves a connection without counting anything: the token, then each milestone's conversion action by validateOnly."""

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import assert_never

from connectors.ads.google.errors import ACCOUNT_MEND, MENDS, TARGET_MEND, TOKEN_CODES, TOKEN_MEND
from connectors.ads.google.payload import CONVERSION_ACTION, is_action_id
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Target, UploadRow
from connectors.contract.errors import AuthenticationFailed, ConnectorError, RequestRefused
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.results import (
    Accepted,
    AlreadyThere,
    Later,
    NotProcessed,
    Rejected,
    Retry,
    TargetRefused,
    Unsupported,
    UploadResult,
)
from connectors.http.auth import Auth, StaticToken
from connectors.upload.judging import LocalCode

EVENT_AGE = timedelta(hours=1)
# Belongs to nobody: the domain is reserved for examples (RFC 2606).
NOBODY = hashlib.sha256(b"leadloop-check@example.com").hexdigest()
WAIT_MEND = "check again in some minutes; where it stays so, look at base_url and token_url"
EVENT_MEND = "check the settings event_source and encoding, and the account's settings for offline conversions"

Validate = Callable[[UploadRow, datetime], Awaitable[UploadResult]]


async def check_account(targets: Mapping[str, Target], auth: Auth, validate: Validate, now: datetime) -> Sequence[Finding]:
    """Findings on `token`, `account` and `target:<milestone>`; a refusal is a finding, never an exception."""
    try:
        await auth.headers()
    except ConnectorError as error:
        return [_token_failed(error), *_not_asked(("account", *_subjects(targets)), "there is no token to ask with")]
    actions = {name: target.get(CONVERSION_ACTION) or "" for name, target in targets.items()}
    judged: dict[str, UploadResult] = {}
    failure: ConnectorError | None = None
    for action in sorted({action for action in actions.values() if is_action_id(action)}):
        try:
            judged[action] = await validate(_synthetic(action, now), now)
        except ConnectorError as error:
            # Token, account, settings and outage are the same for all of them.
            failure = error
            break
    is_proven = bool(judged) or not isinstance(auth, StaticToken)
    findings = [_token(failure, is_proven=is_proven), _account(failure, has_answer=bool(judged))]
    return [*findings, *(_target(name, action, judged.get(action)) for name, action in actions.items())]


def _synthetic(action: str, now: datetime) -> UploadRow:
    """An event of nobody's, an hour ago."""
    not_required = ConsentState.NOT_REQUIRED
    return UploadRow(
        kind=DeliveryKind.UPLOAD,
        conversion_id=f"healthcheck-{uuid.uuid4().hex}",
        milestone="check",
        target=Target.of({CONVERSION_ACTION: action}),
        occurred_at=now - EVENT_AGE,
        identifiers={Identifier.EMAIL_GOOGLE_SHA256: NOBODY},
        consent=Consent(ad_user_data=not_required, ad_personalization=not_required),
    )


def _token(failure: ConnectorError | None, *, is_proven: bool) -> Finding:
    if failure is not None and _is_of_token(failure):
        return _token_failed(failure)
    if is_proven or isinstance(failure, AuthenticationFailed | RequestRefused):
        return Finding("token", FindingStatus.OK, "Google takes the credential")
    return Finding("token", FindingStatus.UNPROVEN, "the access token was not put to the test")


def _token_failed(error: ConnectorError) -> Finding:
    is_refused = isinstance(error, AuthenticationFailed)
    return Finding("token", FindingStatus.FAILED, error.message, MENDS.get(error.code, TOKEN_MEND) if is_refused else WAIT_MEND)


def _is_of_token(error: ConnectorError) -> bool:
    """True where the token, its scope or its Cloud project is refused. OAuth's own codes are lower case, Google's upper."""
    if not isinstance(error, AuthenticationFailed):
        return False
    return error.status == HTTPStatus.UNAUTHORIZED or error.code in TOKEN_CODES or error.code.islower()


def _account(failure: ConnectorError | None, *, has_answer: bool) -> Finding:
    if failure is not None and _is_of_token(failure):
        return Finding("account", FindingStatus.UNPROVEN, "not judged, as the credential was refused")
    if isinstance(failure, AuthenticationFailed):
        return Finding("account", FindingStatus.FAILED, failure.message, MENDS.get(failure.code, ACCOUNT_MEND))
    if failure is not None:
        mend = EVENT_MEND if isinstance(failure, RequestRefused) else WAIT_MEND
        return Finding("account", FindingStatus.FAILED, failure.message, mend)
    if has_answer:
        return Finding("account", FindingStatus.OK, "Google takes requests for the account")
    return Finding("account", FindingStatus.UNPROVEN, "no milestone has a conversion action to ask with", TARGET_MEND)


def _target(name: str, action: str, result: UploadResult | None) -> Finding:
    """What Google said of the made-up event; None where it was not asked."""
    subject = f"target:{name}"
    if not is_action_id(action):
        message = f"{LocalCode.TARGET_INVALID}: a conversion action's id is a number (ctId in the account's address)"
        return Finding(subject, FindingStatus.FAILED, message, TARGET_MEND)
    match result:
        case None:
            return Finding(subject, FindingStatus.UNPROVEN, "not judged, as the question about the account failed")
        case Accepted() | AlreadyThere():
            message = f"Google validates events for conversion action {action}; clicks are matched only in real uploads"
            return Finding(subject, FindingStatus.OK, message)
        case TargetRefused(code=code, message=said):
            return Finding(
                subject, FindingStatus.FAILED, f"Google refuses conversion action {action}: {_words(code, said)}", TARGET_MEND
            )
        case Later(code=code):
            return Finding(subject, FindingStatus.UNPROVEN, f"Google waits ({code}); uploads wait by themselves, some six hours")
        case Rejected(code, said):
            return Finding(subject, FindingStatus.FAILED, f"Google refuses every event: {_words(code, said)}", EVENT_MEND)
        case Retry(code) | NotProcessed(code) | Unsupported(code):
            return Finding(subject, FindingStatus.UNPROVEN, f"Google gave no judgement: {code}", WAIT_MEND)
        case _:
            assert_never(result)


def _words(code: str, said: str) -> str:
    return f"{code} {said}".strip()


def _subjects(targets: Mapping[str, Target]) -> tuple[str, ...]:
    return tuple(f"target:{name}" for name in targets)


def _not_asked(subjects: Sequence[str], why: str) -> list[Finding]:
    return [Finding(subject, FindingStatus.UNPROVEN, f"not asked: {why}") for subject in subjects]
