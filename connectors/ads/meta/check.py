"""What can be known of a connection without sending an event: token, app, dataset and rights, each told apart."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from connectors.ads.meta.errors import APP_MEND, DATASET_MEND, PERMISSION_MEND, TOKEN_MEND, Meaning, meaning_of, mend_of
from connectors.ads.meta.payload import EVENT_NAME, PURCHASE, LocalCode, is_event_name
from connectors.ads.meta.refusals import read_fault
from connectors.ads.meta.settings import MetaSettings, Mode
from connectors.contract.conversions import Target
from connectors.contract.errors import AuthenticationFailed, ConnectorError
from connectors.contract.findings import Finding, FindingStatus
from connectors.http.reply import Reply
from connectors.upload.json_values import as_text

OK, FAILED, UNPROVEN = FindingStatus.OK, FindingStatus.FAILED, FindingStatus.UNPROVEN
FIELDS = "id,name,is_crm,is_consolidated_container,is_unavailable,last_fired_time,owner_business"
WAIT_MEND = "check again in some minutes; where it stays so, look at base_url and api_version"
CRM_MEND = "connect the CRM in Events Manager (dataset, Settings, CRM), or set mode: other where leads come from your own site"
NOT_JUDGED = "not judged, as the question before it failed"

Read = Callable[[str, Mapping[str, str]], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What two readings gave: the dataset's fields, or why not.

    `is_known`: a second reading knew it all the same. `is_open`: the second reading gave no judgement either way.
    """

    dataset: Mapping[str, object] | None = None
    failure: ConnectorError | None = None
    is_known: bool = False
    is_open: bool = False

    @property
    def meaning(self) -> Meaning | None:
        """What the failure is about, None where there is none or it is no refusal of access."""
        return meaning_of(self.failure.code) if isinstance(self.failure, AuthenticationFailed) else None


async def check_dataset(targets: Mapping[str, Target], settings: MetaSettings, read: Read) -> Sequence[Finding]:
    """Findings on `token`, `app`, `account`, `permission`, `target:<milestone>`; a refusal is a finding, never an exception."""
    seen = await _look(settings, read)
    findings = [_token(seen), _app(seen, settings), _account(seen, settings), _permission(seen)]
    if seen.dataset is not None and settings.mode is Mode.CRM and seen.dataset.get("is_crm") is False:
        findings.append(Finding("crm", UNPROVEN, "Meta says that the dataset has no CRM integration", CRM_MEND))
    if settings.test_event_code:
        findings.append(
            Finding(
                "test_event_code",
                UNPROVEN,
                "every conversion of this connection goes as a test event: none of them is to count, though Meta may use them",
                "take test_event_code out of the settings before going live",
            )
        )
    return [*findings, *(_target(name, target.get(EVENT_NAME) or "") for name, target in targets.items())]


async def _look(settings: MetaSettings, read: Read) -> Seen:
    """Read the dataset; a token made for sending may not, so the quality report, which it may read, is asked next."""
    try:
        return Seen(dataset=await _fields(read, f"/{settings.dataset_id}", {"fields": FIELDS}))
    except ConnectorError as error:
        first = Seen(failure=error)
    if first.meaning not in (Meaning.DATASET, Meaning.PERMISSION):
        return first
    try:
        await _fields(read, "/dataset_quality", {"dataset_id": settings.dataset_id, "fields": "web{event_name}"})
    except ConnectorError as error:
        return Seen(failure=error) if isinstance(error, AuthenticationFailed) else Seen(failure=first.failure, is_open=True)
    return Seen(failure=first.failure, is_known=True)


async def _fields(read: Read, path: str, parameters: Mapping[str, str]) -> Mapping[str, object]:
    reply = await read(path, parameters)
    if reply.status >= HTTPStatus.BAD_REQUEST:
        fault = read_fault(reply.body)
        code = "" if fault is None else fault.text
        said = "" if fault is None else fault.message
        raise ConnectorError(f"Meta refuses the question: {code} {said}".strip(), effect=reply.effect, code=code)
    return reply.json_object()


def _token(seen: Seen) -> Finding:
    if seen.meaning is Meaning.TOKEN:
        return Finding("token", FAILED, _said(seen), mend_of(seen.failure.code if seen.failure else ""))
    if seen.dataset is not None or seen.is_known or seen.meaning in (Meaning.DATASET, Meaning.PERMISSION):
        return Finding("token", OK, "Meta knows the token")
    if isinstance(seen.failure, AuthenticationFailed) and seen.meaning is not Meaning.APP:
        return Finding("token", FAILED, _said(seen), TOKEN_MEND)
    return Finding("token", UNPROVEN, NOT_JUDGED)


def _app(seen: Seen, settings: MetaSettings) -> Finding:
    if seen.meaning is Meaning.APP:
        return Finding("app", FAILED, _said(seen), APP_MEND)
    if _token(seen).status is not OK:
        return Finding("app", UNPROVEN, NOT_JUDGED)
    return Finding("app", OK, "Meta takes the app's proof" if settings.app_secret else "the app demands no proof")


def _account(seen: Seen, settings: MetaSettings) -> Finding:
    if seen.dataset is not None:
        if seen.dataset.get("is_unavailable") is True:
            return Finding("account", FAILED, f"dataset {settings.dataset_id} is unavailable", "open it in Events Manager")
        name = as_text(seen.dataset.get("name"))
        return Finding("account", OK, f"dataset {settings.dataset_id} is there" + (f": {name}" if name else ""))
    if seen.is_known:
        return Finding("account", OK, f"Meta reports on dataset {settings.dataset_id}, though the token may not read it")
    if seen.is_open:
        return Finding("account", UNPROVEN, f"the token may not read it, sending may still work: {_said(seen)}", DATASET_MEND)
    match seen.meaning:
        case Meaning.DATASET:
            return Finding("account", FAILED, _said(seen), DATASET_MEND)
        case Meaning.PERMISSION:
            return Finding("account", UNPROVEN, "not judged, as the token may not read it")
        case None if not isinstance(seen.failure, AuthenticationFailed):
            return Finding("account", FAILED, _said(seen), WAIT_MEND)
        case _:
            return Finding("account", UNPROVEN, NOT_JUDGED)


def _permission(seen: Seen) -> Finding:
    """Reading proves no right to send, and Meta has no way to rehearse."""
    if seen.meaning is Meaning.PERMISSION and not (seen.is_known or seen.is_open):
        return Finding("permission", FAILED, _said(seen), PERMISSION_MEND)
    if seen.dataset is None and not seen.is_known:
        return Finding("permission", UNPROVEN, NOT_JUDGED)
    return Finding("permission", UNPROVEN, "that the token may send is proven by the first event only")


def _target(name: str, event_name: str) -> Finding:
    subject = f"target:{name}"
    if not is_event_name(event_name):
        mend = "give the milestone an event_name, such as Lead, or the name of its stage"
        return Finding(subject, FAILED, f"{LocalCode.EVENT_NAME_MISSING}: an event needs a name", mend)
    note = "; each Purchase needs a value" if event_name == PURCHASE else ""
    return Finding(subject, UNPROVEN, f"Meta takes any event name and tests none: `{event_name}`{note}")


def _said(seen: Seen) -> str:
    return "" if seen.failure is None else seen.failure.message
