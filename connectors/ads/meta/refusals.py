"""What a refused request says of the token, the dataset and the events (pure)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus

from connectors.ads.meta.errors import BLOCK_PAUSE, THROTTLE_PAUSE, WITHOUT_MEANING, Meaning, code_text, mend_of, refusal
from connectors.ads.meta.usage import regain_of
from connectors.contract.errors import (
    AuthenticationFailed,
    ConnectorError,
    Effect,
    RateLimited,
    RequestRefused,
    Unavailable,
    UnexpectedReply,
)
from connectors.contract.results import NotProcessed, Rejected, Retry, UploadResult
from connectors.http.reply import Reply, retry_after
from connectors.http.scrub import scrub
from connectors.upload.draft import Draft
from connectors.upload.json_values import as_list, as_object, as_text, as_whole, parsed

# Fields of ours beside `data`: where one of these is blamed, no row is at fault.
_REQUEST_FIELDS = frozenset({"test_event_code", "access_token", "appsecret_proof", "partner_agent"})


@dataclass(frozen=True, slots=True)
class Fault:
    """Meta's error object. `message` is scrubbed; `blamed` are the fields that it names."""

    code: int
    subcode: int | None = None
    is_transient: bool = False
    message: str = ""
    blamed: frozenset[str] = field(default_factory=frozenset, repr=False)

    @property
    def text(self) -> str:
        """`100/2804003`: the code as we store and show it."""
        return code_text(self.code, self.subcode)

    @property
    def meaning(self) -> Meaning:
        """What it says, by its code; a fault that Meta calls passing is one, whatever its code, unless it asks for a pause."""
        meaning = refusal(self.code, self.subcode)
        if self.is_transient and meaning not in (Meaning.THROTTLED, Meaning.BLOCKED):
            return Meaning.RETRY
        return Meaning.REQUEST if meaning is Meaning.ROW and self.blamed & _REQUEST_FIELDS else meaning


def read_fault(body: object) -> Fault | None:
    """The error object of a reply, None where the reply holds none."""
    error = as_object(as_object(body).get("error"))
    code = as_whole(error.get("code"))
    if code is None:
        return None
    words = [as_text(error.get(name)) for name in ("error_user_title", "error_user_msg", "message")]
    said = ": ".join(dict.fromkeys(word for word in words[:2] if word)) or words[2]
    is_transient = error.get("is_transient") is True
    return Fault(code, as_whole(error.get("error_subcode")), is_transient, scrub(said), _blamed(error.get("error_data")))


def failure_of(reply: Reply, now: datetime) -> ConnectorError | None:
    """The failure of the whole call that a reply means; None leaves it to the general reading or to `read_refusal`."""
    fault = read_fault(reply.body)
    if fault is None:
        return None
    match fault.meaning:
        case Meaning.TOKEN | Meaning.APP | Meaning.PERMISSION | Meaning.DATASET:
            said = f"Meta refuses access: {fault.text} {fault.message}".strip()
            return AuthenticationFailed(f"{said}; {mend_of(fault.text)}", code=fault.text, status=reply.status)
        case Meaning.THROTTLED | Meaning.BLOCKED:
            return _throttled(fault, reply, now)
        case Meaning.RETRY:
            return _unavailable(fault, reply, now)
        case Meaning.REQUEST:
            said = f"Meta refuses the request itself: {fault.text} {fault.message}".strip()
            blamed = ", ".join(sorted(fault.blamed & _REQUEST_FIELDS))
            mend = f"it blames {blamed}" if blamed else "check api_version and base_url, or report a bug"
            return RequestRefused(f"{said}; {mend}", code=fault.text, status=reply.status)
        case _:
            return None


def read_refusal(reply: Reply, draft: Draft) -> Sequence[UploadResult]:
    """One result for each event of a refused upload that is no failure of the whole call.

    Meta takes all events of a request or none, and names no row: with several the dispatcher halves them, a lone one is judged.
    """
    fault = read_fault(reply.body)
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        fault = Fault(reply.status)
    if fault is None:
        raise UnexpectedReply(
            f"Meta refused with {reply.status} and no error object; check base_url and api_version",
            effect=Effect.NONE,
            status=reply.status,
        )
    if len(draft.rows) > 1:
        return [NotProcessed(fault.text)] * len(draft.rows)
    return [_of_lone_row(fault)]


def _of_lone_row(fault: Fault) -> UploadResult:
    """A code that is not proven permanent is tried again."""
    if fault.meaning is Meaning.ROW:
        return Rejected(fault.text, fault.message)
    is_known = fault.meaning is not Meaning.UNKNOWN or fault.code in WITHOUT_MEANING
    return Retry(fault.text, fault.message, is_known=is_known)


def _throttled(fault: Fault, reply: Reply, now: datetime) -> RateLimited:
    usual = BLOCK_PAUSE if fault.meaning is Meaning.BLOCKED else THROTTLE_PAUSE
    return RateLimited(
        f"Meta throttles: {fault.text} {fault.message}".strip(),
        retry_after=retry_after(reply, now) or regain_of(reply.headers) or usual,
        code=fault.text,
        status=reply.status,
    )


def _unavailable(fault: Fault, reply: Reply, now: datetime) -> Unavailable:
    is_server_error = reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Unavailable(
        f"Meta fails for now: {fault.text} {fault.message}".strip(),
        effect=Effect.UNKNOWN if is_server_error else Effect.NONE,
        retry_after=retry_after(reply, now),
        code=fault.text,
        status=reply.status,
    )


def _blamed(error_data: object) -> frozenset[str]:
    """The names in `blame_field_specs`, a list of paths that comes as JSON or as its text."""
    data = as_object(parsed(error_data) if isinstance(error_data, str) else error_data)
    specs = data.get("blame_field_specs")
    return frozenset(_texts(parsed(specs) if isinstance(specs, str) else specs))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in as_list(value):
        yield from _texts(inner)
