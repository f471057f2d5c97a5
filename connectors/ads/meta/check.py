"""What can be known of a connection without sending an event: token, app, dataset and rights, each told apart."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from connectors.ads.meta.errors import APP_MEND, DATASET_MEND, PERMISSION_MEND, TOKEN_MEND, Meaning, meaning_of, mend_of
from connectors.ads.meta.payload import EVENT_NAME, PURCHASE, is_event_name
from connectors.ads.meta.refusals import read_fault
from connectors.ads.meta.settings import Form, MetaSettings
from connectors.contract.conversions import Consent, ConsentState, DeliveryKind, Identifier, Money, Target, UploadRow
from connectors.contract.errors import AuthenticationFailed, ConnectorError
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.results import Accepted, UploadResult
from connectors.http.reply import Reply
from connectors.upload.json_values import as_text
from connectors.upload.judging import LocalCode

OK, FAILED, UNPROVEN = FindingStatus.OK, FindingStatus.FAILED, FindingStatus.UNPROVEN
FIELDS = "id,name,is_crm,is_consolidated_container,is_unavailable,last_fired_time,owner_business"
WAIT_MEND = "check again in some minutes; where it stays so, look at base_url and api_version"
CRM_MEND = "connect the CRM in Events Manager (dataset, Settings, CRM) where leads come from Meta's own forms"
OFFLINE_MEND = "use a dataset that takes offline events, or set without_lead_id: other"
# Belongs to nobody: the domain is reserved for examples (RFC 2606).
NOBODY = hashlib.sha256(b"leadloop-check@example.com").hexdigest()
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
    if seen.dataset is not None and seen.dataset.get("is_crm") is False:
        findings.append(Finding("crm", UNPROVEN, "Meta says that the dataset has no CRM integration", CRM_MEND))
    takes_offline = seen.dataset is None or seen.dataset.get("is_consolidated_container") is not False
    if not takes_offline and settings.without_lead_id is Form.OFFLINE:
        findings.append(Finding("offline", UNPROVEN, "Meta says that the dataset takes no offline events", OFFLINE_MEND))
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
    return answered(await read(path, parameters))


def answered(reply: Reply) -> Mapping[str, object]:
    """A JSON object; ConnectorError where Meta refuses the question."""
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
        return Finding(subject, FAILED, f"{LocalCode.TARGET_INVALID}: an event needs a name", mend)
    note = "; each Purchase needs a value" if event_name == PURCHASE else ""
    return Finding(subject, UNPROVEN, f"Meta takes any event name and tests none: `{event_name}`{note}")


def test_row(target: Target, milestone: str, now: datetime) -> UploadRow:
    """An event of nobody's, an hour ago."""
    agreed = ConsentState.NOT_REQUIRED
    is_purchase = target.get(EVENT_NAME) == PURCHASE
    return UploadRow(
        kind=DeliveryKind.UPLOAD,
        conversion_id=f"leadloop-test-{milestone}-{int(now.timestamp())}",
        milestone=milestone,
        target=target,
        occurred_at=now - timedelta(hours=1),
        identifiers={Identifier.EMAIL_SHA256: NOBODY},
        consent=Consent(agreed, agreed),
        money=Money(0, "USD") if is_purchase else None,
    )


def test_finding(name: str, result: UploadResult, code: str) -> Finding:
    """What became of a test event."""
    subject = f"test_event:{name}"
    if isinstance(result, Accepted):
        said = f"Meta took a test event; it shows in Events Manager under {code}, and Meta says that it may use it"
        return Finding(subject, OK, said)
    return Finding(subject, FAILED, f"Meta refuses the test event: {result}", "follow what it says")


def _said(seen: Seen) -> str:
    return "" if seen.failure is None else seen.failure.message
