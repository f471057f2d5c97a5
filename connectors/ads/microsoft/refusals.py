"""What a reply says of the token, the account, the goals and the rows (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from connectors.ads.microsoft.errors import (
    ACCESS_MEND,
    DELAYS,
    GOAL_MEND,
    PAUSES,
    RATE_PAUSE,
    TOKEN_EXPIRED,
    TOKEN_MEND,
    TOO_EARLY,
    Meaning,
    meaning_of,
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
from connectors.contract.results import Accepted, Later, NotProcessed, Rejected, Retry, TargetRefused, Unsupported, UploadResult
from connectors.http.reply import Reply, retry_after
from connectors.http.scrub import scrub
from connectors.upload.draft import Draft
from connectors.upload.json_values import as_list, as_object, as_text, as_whole

_OF_ROWS = frozenset({Meaning.ROW, Meaning.UNSUPPORTED, Meaning.TARGET, Meaning.LATER, Meaning.SIZE, Meaning.UNKNOWN})
_ORDER = (Rejected, Unsupported, TargetRefused, Later, Retry)


@dataclass(frozen=True, slots=True)
class Fault:
    """One error: of the call, or of the row at `index`. `message` is scrubbed."""

    code: int
    name: str
    message: str
    index: int | None = None

    @property
    def meaning(self) -> Meaning:
        """What it means."""
        return meaning_of(self.code)

    @property
    def text(self) -> str:
        """`5606 OfflineConversionNameInvalid`: as we store and show it."""
        return f"{self.code} {self.name}".strip()


def faults_of(body: object) -> Sequence[Fault]:
    """The errors of a refused call, of the call first, then of its rows."""
    found = as_object(body)
    lists = [as_list(found.get(name)) for name in ("Errors", "OperationErrors", "BatchErrors")]
    return [_fault(as_object(one)) for errors in lists for one in errors]


def is_stale_token(reply: Reply) -> bool:
    """An expired token may come with another status than 401."""
    return any(one.code == TOKEN_EXPIRED for one in faults_of(reply.body))


def is_of_rows(reply: Reply) -> bool:
    """True where a refused call names rows or goals only."""
    faults = faults_of(reply.body)
    return bool(faults) and all(one.meaning in _OF_ROWS for one in faults)


def failure_of(reply: Reply, now: datetime) -> ConnectorError | None:
    """The failure of the whole call that a reply means; None leaves it to the general reading or to `read_refusal`."""
    return next((error for one in faults_of(reply.body) if (error := _whole(one, reply, now)) is not None), None)


def read_partial(reply: Reply, draft: Draft, now: datetime) -> Sequence[UploadResult]:
    """One result for each row of a 200: only failures are listed, by index; what is not listed was taken."""
    body = reply.json_object()
    if "PartialErrors" not in body or not isinstance(body["PartialErrors"], list | None):
        raise UnexpectedReply("Microsoft's answer lists no PartialErrors", effect=Effect.UNKNOWN, status=reply.status)
    faults = [_fault(as_object(one)) for one in as_list(body["PartialErrors"]) if one]
    loose = _loose(faults, len(draft.rows))
    if loose is not None and loose.meaning is not Meaning.SIZE:
        said = f"Microsoft: {loose.text} names no row of ours, and the others may have been taken"
        raise UnexpectedReply(said, effect=Effect.UNKNOWN, code=loose.text, status=reply.status)
    return _judged(faults, draft, now, Accepted())


def read_refusal(reply: Reply, draft: Draft, now: datetime) -> Sequence[UploadResult]:
    """One result for each row of a refused call that is no failure of the whole: nothing was taken."""
    faults = faults_of(reply.body)
    if not faults and reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        faults = [Fault(5601, "OfflineConversionsLimitExceeded", "")]
    if not faults:
        raise UnexpectedReply(
            f"Microsoft refused with {reply.status} and no error object; check base_url", effect=Effect.NONE, status=reply.status
        )
    return _judged(faults, draft, now, NotProcessed(faults[0].text))


def _judged(faults: Sequence[Fault], draft: Draft, now: datetime, else_result: UploadResult) -> Sequence[UploadResult]:
    """Where an error of a refused call names no row of ours, nobody is judged and the dispatcher halves."""
    total = len(draft.rows)
    loose = _loose(faults, total)
    if loose is not None:
        return [NotProcessed(loose.text)] * total
    named: dict[int, list[UploadResult]] = {}
    for one in faults:
        place = 0 if total == 1 else one.index or 0
        named.setdefault(place, []).append(_of_row(one, draft.targets[place], now))
    return [min(named[place], key=_weight) if place in named else else_result for place in range(total)]


def _loose(faults: Sequence[Fault], total: int) -> Fault | None:
    """The first error that says of no single row that it failed; a lone row is always meant."""
    of_none = (one for one in faults if one.meaning is Meaning.SIZE or one.index is None or not 0 <= one.index < total)
    return next(of_none, None) if total > 1 else None


def _of_row(fault: Fault, goal: str, now: datetime) -> UploadResult:
    match fault.meaning:
        case Meaning.ROW | Meaning.REQUEST:
            return Rejected(fault.text, fault.message)
        case Meaning.UNSUPPORTED:
            return Unsupported(fault.text, f"the goal takes no corrections; {fault.message}")
        case Meaning.TARGET:
            return TargetRefused(goal, fault.text, f"{fault.message}; {GOAL_MEND}")
        case Meaning.ACCESS:
            # Rows beside it were taken: the goal stops until a check is clean, not the account.
            return TargetRefused(goal, fault.text, f"{fault.message}; {ACCESS_MEND}")
        case Meaning.LATER:
            return Later(now + DELAYS.get(fault.code, TOO_EARLY), fault.text)
        case Meaning.UNKNOWN:
            return Retry(fault.text, fault.message, is_known=False)
        case _:
            return Retry(fault.text, fault.message)


def _weight(result: UploadResult) -> int:
    return next((place for place, kind in enumerate(_ORDER) if isinstance(result, kind)), len(_ORDER))


def _whole(fault: Fault, reply: Reply, now: datetime) -> ConnectorError | None:
    said = f"Microsoft: {fault.text} {fault.message}".strip()
    match fault.meaning:
        case Meaning.TOKEN:
            return AuthenticationFailed(f"{said}; {TOKEN_MEND}", code=fault.text, status=reply.status)
        case Meaning.ACCESS:
            return AuthenticationFailed(f"{said}; {ACCESS_MEND}", code=fault.text, status=reply.status)
        case Meaning.THROTTLED:
            pause = retry_after(reply, now) or PAUSES.get(fault.code, RATE_PAUSE)
            return RateLimited(said, retry_after=pause, code=fault.text, status=reply.status)
        case Meaning.RETRY if fault.index is None:
            return Unavailable(said, effect=Effect.UNKNOWN, code=fault.text, status=reply.status)
        case Meaning.REQUEST:
            return RequestRefused(f"{said}; check base_url, or report a bug", code=fault.text, status=reply.status)
        case _:
            return None


def _fault(one: Mapping[str, object]) -> Fault:
    code = as_whole(one.get("Code"))
    name = as_text(one.get("ErrorCode"))
    return Fault(
        -1 if code is None else code,
        name if name.isalnum() else "",
        scrub(as_text(one.get("Message"))),
        as_whole(one.get("Index")),
    )
