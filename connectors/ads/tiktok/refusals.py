"""What a reply says of the token, the account and the events: TikTok answers 200 to nearly everything (pure)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from connectors.ads.tiktok.errors import (
    ACCESS_MEND,
    PAUSES,
    SUCCESS,
    TOKEN_MEND,
    USUAL_PAUSE,
    Meaning,
    meaning_of,
)
from connectors.contract.errors import AuthenticationFailed, ConnectorError, Effect, RateLimited, Unavailable, UnexpectedReply
from connectors.contract.results import Accepted, NotProcessed, Rejected, Retry, UploadResult
from connectors.http.reply import Reply, retry_after
from connectors.http.scrub import scrub
from connectors.upload.draft import Draft
from connectors.upload.json_values import as_object, as_text, as_whole

INTERNAL = 50000

_PLACE = re.compile(r"(?:data|Batch)\.(\d+)\.([A-Za-z0-9_.]+)")
# After the path of a field a message repeats what was sent.
_QUOTED = re.compile(r"([\"'`]).*?\1|\[.*?\]|\S*\d\S{8,}|\S{8,}\d\S*")


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply's code (None where its body holds none) and words, scrubbed. `place`: the event that it names, with the field."""

    code: int | None
    status: int
    message: str
    place: tuple[int, str] | None = None

    @property
    def meaning(self) -> Meaning:
        """What it means."""
        return meaning_of(self.code, self.status)

    @property
    def text(self) -> str:
        """The code as we store and show it."""
        return str(self.status if self.code is None else self.code)


def read_answer(reply: Reply) -> Answer:
    """Code and message of a reply, whatever its status."""
    body = as_object(reply.body)
    said = as_text(body.get("message"))
    named = _PLACE.search(said)
    place = (int(named.group(1)), named.group(2)) if named else None
    shown = f"{named.group(2)} is refused" if named else scrub(_QUOTED.sub("[value]", said))
    code = as_whole(body.get("code")) if "code" in body else None
    return Answer(code, reply.status, shown, place)


def failure_of(answer: Answer, reply: Reply, now: datetime) -> ConnectorError | None:
    """The failure of the whole call that an answer means, None where there is none or it concerns events."""
    said = f"TikTok: {answer.text} {answer.message}".strip()
    match answer.meaning:
        case Meaning.TOKEN:
            return AuthenticationFailed(f"{said}; {TOKEN_MEND}", code=answer.text, status=reply.status)
        case Meaning.ACCESS:
            return AuthenticationFailed(f"{said}; {ACCESS_MEND}", code=answer.text, status=reply.status)
        case Meaning.THROTTLED:
            pause = retry_after(reply, now) or PAUSES.get(answer.code or 0, USUAL_PAUSE)
            return RateLimited(said, retry_after=pause, code=answer.text, status=reply.status)
        case Meaning.RETRY:
            # A temporary code says that nothing was done; an internal error and a bare 5xx do not.
            effect = Effect.NONE if answer.code is not None and answer.code < INTERNAL else Effect.UNKNOWN
            return Unavailable(said, effect=effect, retry_after=retry_after(reply, now), code=answer.text, status=reply.status)
        case _:
            return None


def results_of(answer: Answer, reply: Reply, draft: Draft) -> Sequence[UploadResult]:
    """One result for each event. Only code 0 is success; a refusal takes none of the request, and names one event at most."""
    total = len(draft.rows)
    if answer.code is None and reply.status < HTTPStatus.BAD_REQUEST:
        raise UnexpectedReply("TikTok answered without a code", effect=Effect.UNKNOWN, status=reply.status)
    if answer.code == SUCCESS:
        return [Accepted()] * total
    if answer.meaning is Meaning.UNDECIDED:
        said = f"TikTok took some of {total} events and does not say which"
        raise UnexpectedReply(said, effect=Effect.UNKNOWN, code=answer.text, status=reply.status)
    if total == 1:
        return [_of_lone_row(answer)]
    results: list[UploadResult] = [NotProcessed(answer.text)] * total
    if answer.meaning is Meaning.ROW and answer.place is not None and answer.place[0] < total:
        results[answer.place[0]] = Rejected(answer.text, answer.message)
    return results


def _of_lone_row(answer: Answer) -> UploadResult:
    match answer.meaning:
        case Meaning.ROW:
            return Rejected(answer.text, answer.message)
        case Meaning.UNKNOWN:
            return Retry(answer.text, answer.message, is_known=False)
        case _:
            return Retry(answer.text, answer.message)
