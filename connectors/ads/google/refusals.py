"""What a refused request says of the account, of the targets and of each event (pure)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus

from connectors.ads.google.errors import (
    ACCOUNT_MEND,
    DAY_QUOTA_PAUSE,
    MENDS,
    MINUTE_QUOTA_PAUSE,
    TOKEN_MEND,
    TOO_RECENT_DELAY,
    Meaning,
    refusal,
)
from connectors.contract.errors import (
    AuthenticationFailed,
    ConnectorError,
    Effect,
    RateLimited,
    RequestRefused,
    Unavailable,
    UnexpectedReply,
)
from connectors.contract.results import Later, NotProcessed, Rejected, Retry, TargetRefused, UploadResult
from connectors.http.reply import Reply, retry_after
from connectors.http.scrub import scrub
from connectors.upload.draft import Draft
from connectors.upload.json_values import as_list, as_object, as_text

# Google writes `events[3].x`, and in places `events.events[3].x`; destinations alike.
_EVENT = re.compile(r"(?:^|\.)events\[(\d+)\]")
_DESTINATION = re.compile(r"(?:^|\.)destinations\[(\d+)\]")
_ACCOUNT_FIELD = re.compile(r"(?:operating|login|linked)_?account", re.IGNORECASE)
_ACTION_FIELD = re.compile(r"product_?destination_?id", re.IGNORECASE)
_EVENT_SOURCE = re.compile(r"\.event_?source(?:\.|$)", re.IGNORECASE)
_REQUEST_FIELD = re.compile(r"(?:encoding|encryption_?info|validate_?only|consent|destinations)(?:\.|$)", re.IGNORECASE)
_ACTIVATION_URL = re.compile(r"https://console\.[a-z.]*google\.com/[\w./?=&%-]+")
_DURATION = re.compile(r"(\d{1,6})(?:\.\d+)?s")
_CODE = re.compile(r"[A-Za-z0-9_]{1,100}")
# These do not say whom they concern; the field does.
_VAGUE = frozenset({"NOT_FOUND", "PERMISSION_DENIED"})


@dataclass(frozen=True, slots=True)
class Violation:
    """One complaint. `path` is Google's own ("" where it names nothing), `message` is scrubbed."""

    path: str
    code: str
    message: str = ""

    def index(self, pattern: re.Pattern[str], length: int) -> int | None:
        """The place that the path names, None where it names none that exists."""
        match = pattern.search(self.path)
        return int(match.group(1)) if match and int(match.group(1)) < length else None

    @property
    def meaning(self) -> Meaning:
        """What it says, by its code and by the field that it names."""
        meaning = refusal(self.code)
        is_vague = self.code in _VAGUE or meaning in (Meaning.ROW, Meaning.UNKNOWN)
        if _EVENT.search(self.path):
            # Every event carries the setting's value: a wrong one is nobody's row.
            if is_vague and _EVENT_SOURCE.search(self.path):
                return Meaning.REQUEST
            return Meaning.UNKNOWN if self.code in _VAGUE else meaning
        if _DESTINATION.search(self.path):
            if _ACCOUNT_FIELD.search(self.path) and (is_vague or meaning is Meaning.TARGET):
                return Meaning.ACCOUNT
            if self.code == "PERMISSION_DENIED" and not _ACTION_FIELD.search(self.path):
                return Meaning.ACCOUNT
            return Meaning.TARGET if is_vague else meaning
        is_of_request = bool(_REQUEST_FIELD.match(self.path)) and meaning in (Meaning.ROW, Meaning.UNKNOWN)
        return Meaning.REQUEST if is_of_request else meaning


@dataclass(frozen=True, slots=True)
class Fault:
    """Google's error object. `code` is the first reason that it gives, else the name of its canonical status."""

    code: str
    violations: tuple[Violation, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    retry_delay: timedelta | None = None


def read_fault(body: object) -> Fault | None:
    """The error object of a reply, None where the reply holds none."""
    error = as_object(as_object(body).get("error"))
    if not error:
        return None
    details = [as_object(detail) for detail in as_list(error.get("details"))]
    reasons = [code for detail in details if (code := _code(detail.get("reason")))]
    general = reasons[0] if reasons else _code(error.get("status"))
    metadata: dict[str, str] = {}
    delay = None
    violations: list[Violation] = []
    for detail in details:
        metadata |= {name: value for name, value in as_object(detail.get("metadata")).items() if isinstance(value, str)}
        wait = _DURATION.fullmatch(as_text(detail.get("retryDelay")))
        delay = timedelta(seconds=int(wait.group(1))) if wait else delay
        violations += [_violation(as_object(one), general) for one in as_list(detail.get("fieldViolations"))]
    if not violations:
        violations = [Violation("", general, scrub(as_text(error.get("message"))))]
    return Fault(violations[0].code, tuple(violations), metadata, delay)


def failure_of(reply: Reply, now: datetime) -> ConnectorError | None:
    """The failure of the whole call that a 401, 403 or 429 means; None leaves the reply to its reader."""
    if reply.status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS):
        return None
    fault = read_fault(reply.body) or Fault("")
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS or refusal(fault.code) is Meaning.THROTTLED:
        return _throttled(fault, retry_after(reply, now), reply.status)
    code = fault.code or ("UNAUTHENTICATED" if reply.status == HTTPStatus.UNAUTHORIZED else "PERMISSION_DENIED")
    return _authentication_failed(code, fault, reply.status)


def read_refusal(reply: Reply, draft: Draft, now: datetime) -> Sequence[UploadResult]:
    """One result for each event of a refused upload; raises where the account, the call or our request is at fault."""
    fault = read_fault(reply.body)
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return _unnamed(Violation("", "TOO_MANY_EVENTS"), draft, now)
    if fault is None:
        raise UnexpectedReply(
            f"Google refused with {reply.status} and no error object; check base_url and api_version",
            effect=Effect.NONE,
            status=reply.status,
        )
    if reply.status != HTTPStatus.BAD_REQUEST:
        raise whole_failure(fault, reply.status)
    _raise_where_nobody_can_pass(fault, reply.status)
    named = _named(fault.violations, draft, now)
    if not named:
        return _unnamed(_weightiest(fault.violations), draft, now)
    return [named.get(event, NotProcessed(fault.code)) for event in range(len(draft.rows))]


def whole_failure(fault: Fault, status: int) -> ConnectorError:
    """The failure that a fault means where it concerns no row."""
    match refusal(fault.code):
        case Meaning.ACCOUNT:
            return _authentication_failed(fault.code, fault, status)
        case Meaning.THROTTLED:
            return _throttled(fault, None, status)
        case Meaning.RETRY:
            return Unavailable(f"Google fails for now: {fault.code}", effect=Effect.NONE, code=fault.code, status=status)
        case _:
            said = fault.violations[0].message if fault.violations else ""
            return RequestRefused(f"Google refuses the request: {fault.code} {said}".strip(), code=fault.code, status=status)


def _raise_where_nobody_can_pass(fault: Fault, status: int) -> None:
    for violation in fault.violations:
        if violation.meaning is Meaning.ACCOUNT:
            raise _authentication_failed(violation.code, fault, status)
        if violation.meaning is Meaning.REQUEST:
            raise RequestRefused(
                f"Google refuses the request itself: {violation.code} at {scrub(violation.path, 80) or 'no field'};"
                " check event_source and encoding, or report a bug",
                code=violation.code,
                status=status,
            )
        names_rows = _EVENT.search(violation.path) or _DESTINATION.search(violation.path)
        if violation.meaning in (Meaning.RETRY, Meaning.THROTTLED) and not names_rows:
            raise whole_failure(Fault(violation.code, (violation,), fault.metadata, fault.retry_delay), status)


def _named(violations: Sequence[Violation], draft: Draft, now: datetime) -> dict[int, UploadResult]:
    """Results of the events that the violations name, by themselves or by their destination."""
    named: dict[int, UploadResult] = {}
    destinations = tuple(dict.fromkeys(draft.targets))
    for violation in violations:
        event = violation.index(_EVENT, len(draft.rows))
        place = violation.index(_DESTINATION, len(destinations))
        if event is None and place is None:
            continue
        action = draft.targets[event] if event is not None else destinations[place or 0]
        result = result_of(violation, action, now)
        if event is not None and not isinstance(result, TargetRefused):
            concerned = [event]
        else:
            concerned = [other for other, its_action in enumerate(draft.targets) if its_action == action]
        for one in concerned:
            if one not in named or _weight(result) > _weight(named[one]):
                named[one] = result
    return named


def _unnamed(violation: Violation, draft: Draft, now: datetime) -> list[UploadResult]:
    """Nobody is named: the dispatcher halves the request until a single row, or a single target, stands alone."""
    count = len(draft.rows)
    is_of_target = violation.meaning in (Meaning.TARGET, Meaning.LATER)
    if count == 1 or (is_of_target and len(set(draft.targets)) == 1):
        return [result_of(violation, draft.targets[0], now)] * count
    return [NotProcessed(violation.code)] * count


def result_of(violation: Violation, action: str, now: datetime) -> UploadResult:
    """The result of a row that a violation names. A code that is not proven permanent is tried again."""
    match violation.meaning:
        case Meaning.ROW | Meaning.SPLIT:
            return Rejected(violation.code, violation.message)
        case Meaning.TARGET:
            return TargetRefused(action, violation.code, violation.message)
        case Meaning.LATER:
            return Later(now + TOO_RECENT_DELAY, violation.code)
        case Meaning.UNKNOWN:
            return Retry(violation.code, violation.message, is_known=False)
        case _:
            return Retry(violation.code, violation.message)


def _weight(result: UploadResult) -> int:
    """Where two complaints name one row, the one that settles more stands."""
    match result:
        case Rejected():
            return 4
        case TargetRefused():
            return 3
        case Later():
            return 2
        case _:
            return 1


def _weightiest(violations: Sequence[Violation]) -> Violation:
    order = (Meaning.TARGET, Meaning.LATER, Meaning.SPLIT, Meaning.ROW)
    return min(violations, key=lambda one: order.index(one.meaning) if one.meaning in order else len(order))


def _authentication_failed(code: str, fault: Fault, status: int) -> AuthenticationFailed:
    mend = MENDS.get(code, TOKEN_MEND if status == HTTPStatus.UNAUTHORIZED else ACCOUNT_MEND)
    url = fault.metadata.get("activationUrl", "")
    if code == "SERVICE_DISABLED" and _ACTIVATION_URL.fullmatch(url):
        mend = f"{mend}: {url}"
    return AuthenticationFailed(f"Google refuses access: {code}; {mend}", code=code, status=status)


def _throttled(fault: Fault, asked: timedelta | None, status: int) -> RateLimited:
    quota = " ".join(fault.metadata.values()).lower()
    pause = DAY_QUOTA_PAUSE if "perday" in quota or "/d/" in quota else MINUTE_QUOTA_PAUSE
    return RateLimited(
        "Google's quota is used up for now",
        retry_after=asked or fault.retry_delay or pause,
        code=fault.code or "RESOURCE_EXHAUSTED",
        status=status,
    )


def _violation(one: Mapping[str, object], general: str) -> Violation:
    return Violation(as_text(one.get("field")), _code(one.get("reason")) or general, scrub(as_text(one.get("description"))))


def _code(value: object) -> str:
    """A code as Google spells them; anything else is no code and is not passed on."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else ""
