"""What a refused request says of the token, the account, the rules and the events (pure)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from connectors.ads.linkedin.errors import (
    ACCESS_MEND,
    FIELD_INVALID,
    RULE_MEND,
    TOKEN_MEND,
    WORDS,
    Meaning,
    meaning_of,
)
from connectors.ads.linkedin.versions import API_VERSION, SUNSETS
from connectors.contract.errors import AuthenticationFailed, ConnectorError, Effect, RateLimited, Unavailable, UnexpectedReply
from connectors.contract.results import NotProcessed, Rejected, Retry, TargetRefused, UploadResult
from connectors.http.reply import Reply, retry_after
from connectors.http.scrub import scrub
from connectors.upload.draft import Draft
from connectors.upload.json_values import as_object, as_text, as_whole

# LinkedIn names no Retry-After; the limit is a minute's, or a day's that ends at midnight UTC.
MINUTE_PAUSE = timedelta(minutes=1)

_INDEX = re.compile(r"^\s*Index:\s*(\d+)\s*,?\s*(.*)$")
_FIELD = re.compile(r"ERROR\s*::\s*(\S+)\s*::\s*(.*)")
_INDICES = re.compile(r"indices\s*\[([\d,\s]*)\]", re.IGNORECASE)
_QUOTED = re.compile(r"([\"'`]).*?\1")


@dataclass(frozen=True, slots=True)
class Fault:
    """An error body. `code` is LinkedIn's, or ours for its words; `rows` says of each named event what is wrong, scrubbed."""

    code: str
    status: int
    message: str
    rows: Mapping[int, str]

    @property
    def meaning(self) -> Meaning:
        """What it means."""
        return meaning_of(self.code, self.status)


def read_fault(reply: Reply) -> Fault:
    """The error that a reply with status >= 400 tells."""
    body = as_object(reply.body)
    text = as_text(body.get("message"))
    code = _code(body, text) or (FIELD_INVALID if reply.status == HTTPStatus.UNPROCESSABLE_ENTITY else str(reply.status))
    return Fault(code, reply.status, _shown(text), _rows(text))


def failure_of(reply: Reply, now: datetime) -> ConnectorError | None:
    """The failure of the whole call that a reply means; None leaves it to the general reading or to `read_refusal`."""
    fault = read_fault(reply)
    said = f"LinkedIn: {fault.code} {fault.message}".strip()
    match fault.meaning:
        case Meaning.VERSION:
            known = ", ".join(sorted(version for version, day in SUNSETS.items() if day > now.date()))
            mend = f"set api_version to one that lives ({known}), or leave it out for {API_VERSION}"
            return AuthenticationFailed(f"{said}; {mend}", code=fault.code, status=reply.status)
        case Meaning.TOKEN:
            return AuthenticationFailed(f"{said}; {TOKEN_MEND}", code=fault.code, status=reply.status)
        case Meaning.ACCESS:
            return AuthenticationFailed(f"{said}; {ACCESS_MEND}", code=fault.code, status=reply.status)
        case Meaning.THROTTLED:
            pause = retry_after(reply, now) or _pause(fault.message, now)
            return RateLimited(said, retry_after=pause, code=fault.code, status=reply.status)
        case Meaning.RETRY:
            # A time-out and a 5xx may come after the work, a lock before it.
            effect = Effect.NONE if reply.status == HTTPStatus.LOCKED else Effect.UNKNOWN
            return Unavailable(said, effect=effect, retry_after=retry_after(reply, now), code=fault.code, status=reply.status)
        case _:
            return None


def is_of_rows(reply: Reply) -> bool:
    """True where a refusal concerns events or their rules: LinkedIn says 403 and 404 of a rule too."""
    return read_fault(reply).meaning in (Meaning.ROW, Meaning.TARGET, Meaning.SIZE)


def read_refusal(reply: Reply, draft: Draft) -> Sequence[UploadResult]:
    """One result for each event of a refused upload that is no failure of the whole call: LinkedIn takes all or none.

    Events that are named are judged, the others were not processed; where none is named the dispatcher halves the request.
    """
    fault = read_fault(reply)
    total = len(draft.rows)
    named = {place: said for place, said in fault.rows.items() if place < total}
    if total == 1:
        named = named or {0: fault.message}
    elif fault.meaning is Meaning.SIZE:
        named = {}
    results: list[UploadResult] = [NotProcessed(fault.code)] * total
    for place, said in named.items():
        results[place] = _judged(fault, draft.targets[place], said)
    return results


def read_statuses(reply: Reply, sent: int) -> Sequence[Mapping[str, object]]:
    """The status of each event of a 200; UnexpectedReply where there are more or fewer than were sent."""
    elements = reply.json_object().get("elements")
    if not isinstance(elements, list) or len(elements) != sent:
        told = len(elements) if isinstance(elements, list) else "no"
        raise UnexpectedReply(
            f"LinkedIn answered {told} statuses for {sent} events", effect=Effect.UNKNOWN, code="elements", status=reply.status
        )
    return [as_object(one) for one in elements]


def judge_element(element: Mapping[str, object], rule: str) -> UploadResult | None:
    """A failure inside a 200, None where the event was taken. None has been seen; should one come it costs its row alone."""
    status = as_whole(element.get("status"))
    if status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    error = as_object(element.get("error")) or element
    text = as_text(error.get("message"))
    fault = Fault(_code(error, text) or str(status or "no_status"), status or 0, _shown(text), {})
    return _judged(fault, rule, fault.message)


def _judged(fault: Fault, rule: str, said: str) -> UploadResult:
    match fault.meaning:
        case Meaning.ROW:
            return Rejected(fault.code, said)
        case Meaning.TARGET:
            return TargetRefused(rule, fault.code, f"{said}; {RULE_MEND}")
        case Meaning.UNKNOWN:
            return Retry(fault.code, said, is_known=False)
        case _:
            return Retry(fault.code, said)


def _code(body: Mapping[str, object], text: str) -> str:
    lower = text.lower()
    for words, code in WORDS.items():
        if words in lower and (code == "RULE_METHOD" or "error ::" not in lower):
            return code
    code = as_text(body.get("code"))
    if code and re.fullmatch(r"[A-Z][A-Z0-9_]{1,79}", code):
        return code
    named = re.search(r"\b[A-Z]+(?:_[A-Z]+){2,}\b", text)
    number = as_whole(body.get("serviceErrorCode"))
    return named.group() if named else "" if number is None else str(number)


def _rows(text: str) -> dict[int, str]:
    """What is said of each named event. A line `Index: N, ...` opens an event, the lines after it belong to it too."""
    found: dict[int, str] = {}
    current: int | None = None
    for line in text.splitlines():
        index = _INDEX.match(line)
        if index:
            current = int(index.group(1))
        field = _FIELD.search(line)
        if current is not None and field:
            said = f"{field.group(1)}: {_shown(field.group(2))}"
            found[current] = f"{found[current]}; {said}" if current in found else said
        elif index and current is not None:
            found.setdefault(current, _shown(index.group(2)))
    if not found:
        listed = _INDICES.search(text)
        places = [int(one) for one in listed.group(1).split(",") if one.strip()] if listed else []
        found = dict.fromkeys(places, _shown(text))
    return found


def _shown(text: str) -> str:
    """Words without what they quote, which may be what was sent."""
    return scrub(_QUOTED.sub("[value]", text))


def _pause(message: str, now: datetime) -> timedelta:
    """A day's limit ends at midnight UTC."""
    if "day" not in message.lower() and "daily" not in message.lower():
        return MINUTE_PAUSE
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return midnight - now
