"""The connection check: token, rights, scopes, webhooks and the day's tokens, one finding each."""

from collections.abc import Awaitable, Callable, Sequence

from connectors.contract.errors import NEEDS_REAUTH, AuthenticationFailed, RequestRefused
from connectors.contract.findings import Finding, FindingStatus
from connectors.contract.records import ObjectKind
from connectors.crm.pipedrive.api import PipedriveApi
from connectors.crm.pipedrive.budget import LITTLE_IS_LEFT, Call, TokenBudget
from connectors.crm.pipedrive.refusals import UNPAID, WHERE_SCOPES_ARE
from connectors.crm.pipedrive.schema import Account, read_account
from connectors.crm.pipedrive.settings import HistoryMode, PipedriveSettings
from connectors.http.strict_json import Json

UNAUTHORIZED = 401
PAYMENT_REQUIRED = 402
SCOPES = {ObjectKind.DEAL: "deals:read", ObjectKind.CONTACT: "contacts:read", ObjectKind.LEAD: "leads:read"}
HISTORY_SCOPE = "recents:read"
OPTIONAL_KINDS = frozenset({ObjectKind.LEAD})
_ONE_ROW = {"limit": "1"}


async def check_account(
    api: PipedriveApi, settings: PipedriveSettings, budget: TokenBudget, kinds: frozenset[ObjectKind]
) -> Sequence[Finding]:
    """Prove what can be proven without writing, for about 70 tokens; an outage or a throttle is raised, a refusal is a finding.

    Leads are optional, unless they are among `kinds`, which the mapping reads.
    """
    try:
        account = await read_account(api)
    except (AuthenticationFailed, RequestRefused) as error:
        return [_account_refused(error)]
    findings = [
        Finding("token", FindingStatus.OK, "Pipedrive accepts the token"),
        Finding("account", FindingStatus.OK, f"company {account.company_id}, {account.currency}, {account.time_zone}"),
        _rights(account),
    ]
    deals = _Probe(lambda: _rows(api, ObjectKind.DEAL))
    findings.append(await deals.finding(SCOPES[ObjectKind.DEAL], "deals", is_optional=False))
    people = _Probe(lambda: _rows(api, ObjectKind.CONTACT))
    findings.append(await people.finding(SCOPES[ObjectKind.CONTACT], "persons", is_optional=False))
    leads = _Probe(lambda: _rows(api, ObjectKind.LEAD))
    is_optional = ObjectKind.LEAD not in kinds
    findings.append(await leads.finding(SCOPES[ObjectKind.LEAD], "leads", is_optional=is_optional))
    findings.append(await _history(api, deals.rows, settings))
    findings.append(await _webhooks(api, settings))
    return [*findings, _budget(budget)]


class _Probe:
    """One call that every poll makes, with one row asked for."""

    def __init__(self, call: Callable[[], Awaitable[Sequence[Json]]]) -> None:
        self._call = call
        self.rows: Sequence[Json] = ()

    async def finding(self, scope: str, what: str, *, is_optional: bool) -> Finding:
        """Whether these can be read."""
        try:
            self.rows = await self._call()
        except (AuthenticationFailed, RequestRefused) as error:
            return _refused(scope, what, error, is_optional=is_optional)
        return Finding(f"scope:{scope}", FindingStatus.OK, f"{what} can be read")


async def _rows(api: PipedriveApi, kind: ObjectKind) -> Sequence[Json]:
    if kind is ObjectKind.LEAD:
        return (await api.leads(_ONE_ROW, is_archive=False)).rows
    return (await api.page(kind, _ONE_ROW)).rows


def _account_refused(error: AuthenticationFailed | RequestRefused) -> Finding:
    if error.status == UNAUTHORIZED or error.code == NEEDS_REAUTH:
        mend = "copy a new API token (Pipedrive > Personal preferences > API), or connect the OAuth app again"
        return Finding("token", FindingStatus.FAILED, error.message, mend)
    if error.status == PAYMENT_REQUIRED or error.code == UNPAID:
        return Finding("account", FindingStatus.FAILED, error.message, "settle the company's account with Pipedrive")
    return Finding(
        "account", FindingStatus.FAILED, error.message, "check `company_domain` and `base_url`; OAuth needs the scope base"
    )


def _rights(account: Account) -> Finding:
    """Rows that a user may not see are missing without a word."""
    if account.is_admin:
        return Finding("rights", FindingStatus.OK, "the token is an admin's, who sees all records")
    message = "the token's user is no admin in every app: records that this user may not see are missing without a word"
    return Finding(
        "rights", FindingStatus.UNPROVEN, message, "use the token of an admin (or of a service user with admin rights)"
    )


async def _history(api: PipedriveApi, deals: Sequence[Json], settings: PipedriveSettings) -> Finding:
    """One changelog: the scope that is easiest forgotten."""
    subject = f"scope:{HISTORY_SCOPE}"
    if settings.history is HistoryMode.CHEAP:
        message = "`history` is cheap: changelogs are not read, stages passed between two readings stay unknown"
        return Finding(subject, FindingStatus.UNPROVEN, message, "set `history` to auto or exact")
    found = next((one.get("id") for one in deals if isinstance(one.get("id"), int)), None)
    if found is None:
        mend = "create a deal and check again"
        return Finding(subject, FindingStatus.UNPROVEN, "there is no deal yet whose changelog could be read", mend)
    try:
        await api.changelog(ObjectKind.DEAL, str(found), None)
    except (AuthenticationFailed, RequestRefused) as error:
        return _refused(HISTORY_SCOPE, "the changelog of deals", error, is_optional=False)
    return Finding(subject, FindingStatus.OK, "the changelog of deals can be read")


async def _webhooks(api: PipedriveApi, settings: PipedriveSettings) -> Finding:
    """Polling is complete without webhooks, so nothing here is a failure."""
    if not settings.webhook_secrets:
        mend = "set `webhook_secrets` to a pair user:password of your own choice"
        message = "no webhooks are subscribed to: changes are read by polling only"
        return Finding("webhooks", FindingStatus.UNPROVEN, message, mend)
    try:
        await api.all_of_v1(Call.WEBHOOKS, "webhooks")
    except (AuthenticationFailed, RequestRefused) as error:
        message = f"webhooks cannot be subscribed to: {error.message}"
        return Finding(
            "webhooks", FindingStatus.UNPROVEN, message, f"use an admin's token, with OAuth the scope admin {WHERE_SCOPES_ARE}"
        )
    return Finding("webhooks", FindingStatus.OK, "webhooks can be subscribed to")


def _refused(scope: str, what: str, error: AuthenticationFailed | RequestRefused, *, is_optional: bool) -> Finding:
    mend = f"add the scope {scope} {WHERE_SCOPES_ARE}; with an API token use an admin's"
    if is_optional:
        message = f"{what} cannot be read, which matters only where a mapping uses them"
        return Finding(f"scope:{scope}", FindingStatus.UNPROVEN, message, mend)
    return Finding(f"scope:{scope}", FindingStatus.FAILED, f"{what} cannot be read: {error.message}", mend)


def _budget(budget: TokenBudget) -> Finding:
    """The day's tokens, so far as they are known."""
    spent = f"{budget.spent:,} of our {budget.share_tokens:,} tokens of the day are spent"
    if budget.left is not None and budget.left < LITTLE_IS_LEFT * budget.daily_tokens:
        message = f"{budget.left:,} of the company's {budget.daily_tokens:,} tokens of the day are left; {spent}"
        return Finding("quota", FindingStatus.UNPROVEN, message, "let other apps of the company ask less, or buy tokens")
    if budget.cheap_reads:
        message = f"{spent}: {budget.cheap_reads:,} records that moved were read without their changelog today"
        return Finding(
            "quota", FindingStatus.UNPROVEN, message, "raise `daily_share`, or set `daily_tokens` to the company's budget"
        )
    if not budget.is_known:
        message = f"{spent}, reckoned from the smallest plan's {budget.daily_tokens:,}"
        return Finding("quota", FindingStatus.OK, message, "set `daily_tokens` to the company's budget to poll more often")
    return Finding("quota", FindingStatus.OK, spent)
