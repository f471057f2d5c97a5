"""The connection check: token, account, scopes and the day's quota, one finding each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.contract.errors import NEEDS_REAUTH, AuthenticationFailed, RequestRefused
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.records import ObjectKind
from connectors.crm.hubspot.api import HubSpotApi
from connectors.crm.hubspot.objects import OBJECTS
from connectors.crm.hubspot.refusals import MISSING_SCOPES, WHERE_SCOPES_ARE
from connectors.crm.hubspot.replies import json_objects
from connectors.crm.hubspot.schema import NO_SENSITIVE_DATA, NOT_OFFERED, OPTIONAL_KINDS, Account, read_account
from connectors.crm.hubspot.search import Keyset
from connectors.http.strict_json import Json, to_ms

TOKEN_REFUSED = frozenset({401, 530})
LITTLE_IS_LEFT = 0.9

_RECORD_SCOPES = {
    ObjectKind.CONTACT: "crm.objects.contacts.read",
    ObjectKind.DEAL: "crm.objects.deals.read",
    ObjectKind.LEAD: "crm.objects.leads.read",
    ObjectKind.COMPANY: "crm.objects.companies.read",
}
_SCHEMA_SCOPES = {ObjectKind.CONTACT: "crm.schemas.contacts.read", ObjectKind.DEAL: "crm.schemas.deals.read"}


@dataclass(frozen=True, slots=True)
class Checked:
    """The findings, and the account where it could be read."""

    findings: Sequence[Finding]
    account: Account | None = None


async def check_account(
    api: HubSpotApi, now: datetime, kinds: frozenset[ObjectKind] = frozenset(), *, has_daily_quota: bool = True
) -> Checked:
    """Prove what can be proven without writing; an outage or a throttle is raised, a refusal is a finding.

    Kinds that not every account has are optional, unless they are among `kinds`, which the mapping reads. `has_daily_quota`:
    static tokens have one, an OAuth app has none.
    """
    try:
        account = await read_account(api)
    except (AuthenticationFailed, RequestRefused) as error:
        return Checked([_account_refused(error)])
    findings = [
        Finding("token", FindingStatus.OK, "HubSpot accepts the token"),
        Finding("account", FindingStatus.OK, f"account {account.portal_id}, {account.currency}, {account.time_zone}"),
    ]
    optional = OPTIONAL_KINDS - kinds
    findings += [await _records(api, kind, scope, now, optional) for kind, scope in _RECORD_SCOPES.items()]
    findings += [await _schema(api, kind, scope) for kind, scope in _SCHEMA_SCOPES.items()]
    return Checked([*findings, *(await _quota(api) if has_daily_quota else [])], account)


def _account_refused(error: AuthenticationFailed | RequestRefused) -> Finding:
    if error.code == NEEDS_REAUTH:
        mend = "install the app again: go through its consent page and put the new `refresh_token` into the settings"
        return Finding("token", FindingStatus.FAILED, error.message, mend)
    if error.status in TOKEN_REFUSED:
        mend = (
            "copy the whole token from HubSpot again, or make a new one, and update `access_token`; an OAuth app: connect again"
        )
        return Finding("token", FindingStatus.FAILED, error.message, mend)
    if isinstance(error, AuthenticationFailed) and error.status not in NOT_OFFERED:
        mend = "copy `client_id` and `client_secret` from the app's page in HubSpot again"
        return Finding("token", FindingStatus.FAILED, error.message, mend)
    if error.code == MISSING_SCOPES:
        return Finding("account", FindingStatus.FAILED, error.message, f"add the scope {WHERE_SCOPES_ARE}")
    return Finding("account", FindingStatus.FAILED, error.message, "check `base_url` and `api_version`")


async def _records(api: HubSpotApi, kind: ObjectKind, scope: str, now: datetime, optional: frozenset[ObjectKind]) -> Finding:
    """One search of one row: the call that every poll makes."""
    try:
        await api.search(kind, Keyset(to_ms(now - timedelta(days=1))), to_ms(now), limit=1)
    except (AuthenticationFailed, RequestRefused) as error:
        return _scope_refused(scope, OBJECTS[kind].path, error, is_optional=kind in optional)
    return Finding(f"scope:{scope}", FindingStatus.OK, f"{OBJECTS[kind].path} can be read")


async def _schema(api: HubSpotApi, kind: ObjectKind, scope: str) -> Finding:
    path = OBJECTS[kind].path
    try:
        await api.get("crm/properties", path, NO_SENSITIVE_DATA)
    except (AuthenticationFailed, RequestRefused) as error:
        return _scope_refused(scope, f"the properties of {path}", error, is_optional=False)
    return Finding(f"scope:{scope}", FindingStatus.OK, f"the properties of {path} can be read")


def _scope_refused(scope: str, what: str, error: AuthenticationFailed | RequestRefused, *, is_optional: bool) -> Finding:
    mend = f"add the scope {scope} {WHERE_SCOPES_ARE}"
    if scope == _RECORD_SCOPES[ObjectKind.LEAD]:
        mend = f"{mend}; leads need Sales Hub Professional or Enterprise"
    if is_optional and error.status in NOT_OFFERED:
        message = f"{what} cannot be read, which matters only where a mapping uses them"
        return Finding(f"scope:{scope}", FindingStatus.UNPROVEN, message, mend)
    if error.code != MISSING_SCOPES:
        mend = f"{mend}; where it is there, the token's creator lacks the right to see {what}"
    return Finding(f"scope:{scope}", FindingStatus.FAILED, f"{what} cannot be read: {error.message}", mend)


async def _quota(api: HubSpotApi) -> list[Finding]:
    """The day's requests; HubSpot tells them for static tokens only."""
    try:
        found = await api.get("account-info", "api-usage/daily/private-apps")
    except (AuthenticationFailed, RequestRefused):
        return []
    usages = [_usage(row) for row in json_objects(found.get("results"), "the daily usage")]
    counted = [usage for usage in usages if usage is not None]
    if not counted:
        return []
    used, limit = max(counted, key=lambda usage: usage[0] / usage[1])
    message = f"{used:,} of {limit:,} requests of the day are used"
    if used >= limit:
        return [Finding("quota", FindingStatus.FAILED, message, "wait for midnight in the account's time zone")]
    if used >= LITTLE_IS_LEFT * limit:
        mend = "let other apps of the account ask less, or buy HubSpot's API limit increase"
        return [Finding("quota", FindingStatus.UNPROVEN, f"{message}; the day may not last", mend)]
    return [Finding("quota", FindingStatus.OK, message)]


def _usage(row: Json) -> tuple[int, int] | None:
    used, limit = row.get("currentUsage"), row.get("usageLimit")
    return (used, limit) if isinstance(used, int) and isinstance(limit, int) and limit > 0 else None
