"""The connection check: token, API version, org, objects, fields, history tracking and the day's requests, one finding each."""

from collections.abc import Iterator, Mapping, Sequence

from connectors.contract.errors import AuthenticationFailed, RequestRefused, UnexpectedReply
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.records import ObjectKind
from connectors.crm.salesforce.api import SalesforceApi
from connectors.crm.salesforce.catalogue import WHERE_FIELDS_ARE, described_of, read_tracked
from connectors.crm.salesforce.objects import (
    CONVERTED_CONTACT,
    CONVERTED_DEAL,
    MASTER,
    MODIFIED,
    OBJECTS,
    ROLE,
    STAGE_NAME,
    STATUS,
)
from connectors.crm.salesforce.replies import json_object
from connectors.crm.salesforce.schema import HOW_TO_TRACK, OrgReading, read_org
from connectors.crm.salesforce.settings import SalesforceSettings
from connectors.http.strict_json import Json

LITTLE_IS_LEFT = 0.8

# What records need beside the mapped fields.
_NEEDED: Mapping[ObjectKind, tuple[str, ...]] = {
    ObjectKind.CONTACT: (MODIFIED,),
    ObjectKind.LEAD: (MODIFIED, STATUS, CONVERTED_CONTACT, CONVERTED_DEAL, MASTER),
    ObjectKind.DEAL: (MODIFIED, STAGE_NAME, "Amount"),
    ObjectKind.COMPANY: (MODIFIED,),
}
_ALWAYS = frozenset({ObjectKind.CONTACT, ObjectKind.DEAL})


async def check_org(api: SalesforceApi, settings: SalesforceSettings, kinds: frozenset[ObjectKind]) -> Sequence[Finding]:
    """Prove what can be proven without writing; an outage or a throttle is raised, a refusal is a finding."""
    try:
        versions = await api.versions()
    except (AuthenticationFailed, RequestRefused, UnexpectedReply) as error:
        return [Finding("token", FindingStatus.FAILED, error.message, _token_mend(error))]
    findings = [Finding("token", FindingStatus.OK, "Salesforce gives a token and takes it")]
    if api.version not in versions:
        newest = f", the newest is {versions[-1]}" if versions else ""
        message = f"this org has no API {api.version}{newest}"
        return [*findings, Finding("version", FindingStatus.FAILED, message, "set `api_version` to one that the org has")]
    findings.append(Finding("version", FindingStatus.OK, f"API {api.version} is there"))
    try:
        org = await read_org(api)
    except (AuthenticationFailed, RequestRefused) as error:
        mend = "give the integration user `API Enabled` and `View Setup and Configuration`"
        return [*findings, Finding("account", FindingStatus.FAILED, error.message, mend)]
    sandbox = " (a sandbox)" if org.is_sandbox else ""
    findings.append(Finding("account", FindingStatus.OK, f"org {org.account_ref}{sandbox}, {org.time_zone}"))
    findings += _currency(org, settings)
    findings += [found for kind in OBJECTS for found in _object(org, kind, kinds)]
    findings += _roles(org)
    findings += await _tracking(api, org, kinds)
    return [*findings, *await _budget(api)]


def _token_mend(error: AuthenticationFailed | RequestRefused | UnexpectedReply) -> str:
    if isinstance(error, UnexpectedReply):
        return "check `instance_url` or `login_url`: the answer did not come from Salesforce's API"
    return "check the app's flow, its policies and the settings of this connection, as the message says"


def _currency(org: OrgReading, settings: SalesforceSettings) -> Iterator[Finding]:
    code = settings.currency or (org.currencies[0] if org.currencies else "")
    if not code:
        message = "Salesforce does not tell the currency of this org"
        yield Finding("currency", FindingStatus.FAILED, message, "set `currency` (Setup > Company Information)")
    elif org.currencies and code not in org.currencies:
        message = f"the setting `currency` says {code}, the org {', '.join(org.currencies)}"
        yield Finding("currency", FindingStatus.FAILED, message, "take `currency` out of the settings: Salesforce tells it")


def _object(org: OrgReading, kind: ObjectKind, kinds: frozenset[ObjectKind]) -> Iterator[Finding]:
    """The object itself, and the fields that every record of it needs."""
    name = OBJECTS[kind].name
    raw = org.objects.get(name)
    if raw is None:
        message, mend = f"{name} records cannot be read", f"give read access to {name} under {WHERE_FIELDS_ARE}"
        is_needed = kind in kinds or (not kinds and kind in _ALWAYS)
        if is_needed:
            yield Finding(f"object:{name}", FindingStatus.FAILED, message, mend)
        else:
            yield Finding(
                f"object:{name}", FindingStatus.UNPROVEN, f"{message}, which matters only where a mapping uses them", mend
            )
        return
    yield Finding(f"object:{name}", FindingStatus.OK, f"{name} records can be read")
    shown = described_of(raw).fields
    for missing in (one for one in _NEEDED[kind] if one not in shown):
        mend = f"give read access to the field under {WHERE_FIELDS_ARE}"
        status = FindingStatus.FAILED if kind in kinds else FindingStatus.UNPROVEN
        yield Finding(f"field:{name}.{missing}", status, f"the field {name}.{missing} is hidden", mend)


def _roles(org: OrgReading) -> Iterator[Finding]:
    if ROLE in org.objects:
        yield Finding(f"object:{ROLE}", FindingStatus.OK, "the contacts on opportunities can be read")
    else:
        message = "contact roles cannot be read: deals know only the contact that they were converted with"
        mend = f"give read access to Opportunity and Contact under {WHERE_FIELDS_ARE}"
        yield Finding(f"object:{ROLE}", FindingStatus.FAILED, message, mend)


async def _tracking(api: SalesforceApi, org: OrgReading, kinds: frozenset[ObjectKind]) -> list[Finding]:
    """Without its history a lead's status is dated by the poll that saw it."""
    lead = OBJECTS[ObjectKind.LEAD]
    if lead.name not in org.objects or (kinds and ObjectKind.LEAD not in kinds):
        return []
    tracked = await read_tracked(api, {name: described_of(raw) for name, raw in org.objects.items()})
    subject = f"history:{lead.name}.{STATUS}"
    if STATUS in tracked[ObjectKind.LEAD]:
        return [Finding(subject, FindingStatus.OK, "Salesforce keeps the history of a lead's Status")]
    message = "Salesforce shows no history of a lead's Status: its changes are dated by the poll that sees them, approximately"
    return [Finding(subject, FindingStatus.UNPROVEN, message, f"switch it on under {HOW_TO_TRACK}")]


async def _budget(api: SalesforceApi) -> list[Finding]:
    """The org's requests of the last 24 hours, which all its integrations share."""
    try:
        found = json_object(await api.get("limits"), "the limits").get("DailyApiRequests")
    except (AuthenticationFailed, RequestRefused):
        return []
    counted = _counted(found if isinstance(found, dict) else {})
    if counted is None:
        return []
    used, allowed = counted
    message = f"{used:,} of {allowed:,} API requests of the last 24 hours are used"
    if used >= allowed:
        mend = "wait until earlier requests leave the 24 hours, let other integrations ask less, or buy more"
        return [Finding("budget", FindingStatus.FAILED, message, mend)]
    if used >= LITTLE_IS_LEFT * allowed:
        mend = "let other integrations of the org ask less, or buy more; Leadloop asks less often meanwhile"
        return [Finding("budget", FindingStatus.UNPROVEN, message, mend)]
    return [Finding("budget", FindingStatus.OK, message)]


def _counted(raw: Json) -> tuple[int, int] | None:
    allowed, left = raw.get("Max"), raw.get("Remaining")
    if not isinstance(allowed, int) or not isinstance(left, int) or allowed <= 0:
        return None
    return max(allowed - left, 0), allowed
