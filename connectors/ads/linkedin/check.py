"""What can be known of a connection without sending an event: token, account, each conversion rule."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from connectors.ads.linkedin.api import Api, escaped
from connectors.ads.linkedin.errors import ACCESS_MEND, RULE_MEND, TOKEN_MEND, Meaning, meaning_of
from connectors.ads.linkedin.payload import CONVERSION_RULE, is_rule_id
from connectors.ads.linkedin.settings import LinkedInSettings
from connectors.contract.conversions import Target
from connectors.contract.errors import AuthenticationFailed, ConnectorError, RequestRefused
from connectors.contract.findings import Finding, FindingStatus
from connectors.upload.json_values import as_list, as_text
from connectors.upload.judging import LocalCode

OK, FAILED, UNPROVEN = FindingStatus.OK, FindingStatus.FAILED, FindingStatus.UNPROVEN
WAIT_MEND = "check again in some minutes; where it stays so, look at base_url and api_version"
LINK_MEND = "link the rule to your campaigns in Campaign Manager"
NOT_JUDGED = "not judged, as the question before it failed"


async def check_account(targets: Mapping[str, Target], settings: LinkedInSettings, api: Api) -> Sequence[Finding]:
    """Findings on `token`, `account`, `permission`, `target:<milestone>`; a refusal is a finding, never an exception."""
    try:
        account = await api.account(settings.account_id)
    except ConnectorError as error:
        return await _without_account(error, targets, settings, api)
    token = Finding("token", OK, "LinkedIn knows the token")
    if account is None:
        said = f"the token reaches no ad account {settings.account_id}"
        return [token, Finding("account", FAILED, said, ACCESS_MEND), *_not_judged(targets)]
    name, state = as_text(account.get("name")), as_text(account.get("status"))
    said = f"ad account {settings.account_id} is there" + (f": {name}" if name else "")
    mend = "" if state in ("", "ACTIVE") else "bring the ad account back to life in Campaign Manager"
    found = Finding("account", OK if not mend else UNPROVEN, f"{said}, {state.lower()}" if state else said, mend)
    return [token, found, _permission(), *[await _rule(name, one, settings, api) for name, one in targets.items()]]


async def _without_account(
    error: ConnectorError, targets: Mapping[str, Target], settings: LinkedInSettings, api: Api
) -> Sequence[Finding]:
    """A token of Campaign Manager may read rules only: then the rules speak for token and account."""
    meaning = meaning_of(error.code, error.status or 0)
    if isinstance(error, AuthenticationFailed) and meaning is Meaning.ACCESS and any(map(_is_readable, targets.values())):
        rules = [await _rule(name, one, settings, api) for name, one in targets.items()]
        if any(one.status is OK for one in rules):
            account = Finding("account", UNPROVEN, f"the token may not read accounts, but rules of {settings.account_id}")
            return [Finding("token", OK, "LinkedIn knows the token"), account, _permission(), *rules]
    if not isinstance(error, AuthenticationFailed | RequestRefused):
        failed = Finding("account", FAILED, error.message, WAIT_MEND)
        return [Finding("token", UNPROVEN, NOT_JUDGED), failed, *_not_judged(targets)]
    if meaning is Meaning.ACCESS:
        failed = Finding("account", FAILED, error.message, ACCESS_MEND)
        return [Finding("token", OK, "LinkedIn knows the token"), failed, *_not_judged(targets)]
    mend = "choose a living api_version" if meaning is Meaning.VERSION else TOKEN_MEND
    failed = Finding("token", FAILED, error.message, mend)
    return [failed, Finding("account", UNPROVEN, NOT_JUDGED), *_not_judged(targets)]


async def _rule(name: str, target: Target, settings: LinkedInSettings, api: Api) -> Finding:
    subject, rule = f"target:{name}", target.get(CONVERSION_RULE) or ""
    if not is_rule_id(rule):
        return Finding(subject, FAILED, f"{LocalCode.TARGET_INVALID}: a conversion rule's id is a number", RULE_MEND)
    try:
        found = await api.read(f"/rest/conversions/{rule}?account={escaped(settings.account_urn)}")
    except (RequestRefused, AuthenticationFailed) as error:
        if error.status == HTTPStatus.UNAUTHORIZED:
            return Finding(subject, UNPROVEN, NOT_JUDGED)
        return Finding(subject, FAILED, error.message, RULE_MEND)
    except ConnectorError as error:
        return Finding(subject, UNPROVEN, error.message, WAIT_MEND)
    if found.get("conversionMethod") != "CONVERSIONS_API":
        return Finding(subject, FAILED, f"rule {rule} was not made for the Conversions API", RULE_MEND)
    if found.get("enabled") is False:
        return Finding(subject, FAILED, f"rule {rule} is switched off", "switch it on, or run `leadloop destinations provision`")
    kind = as_text(found.get("type")) or "no type"
    if not as_list(found.get("associatedCampaigns")) and not as_list(found.get("campaigns")):
        return Finding(subject, OK, f"rule {rule} is there ({kind}); linked to no campaign that this token sees", LINK_MEND)
    return Finding(subject, OK, f"rule {rule} is there ({kind})")


def _permission() -> Finding:
    return Finding("permission", UNPROVEN, "LinkedIn has no test mode: that the token may send is proven by the first event only")


def _is_readable(target: Target) -> bool:
    return is_rule_id(target.get(CONVERSION_RULE) or "")


def _not_judged(targets: Mapping[str, Target]) -> list[Finding]:
    return [Finding(f"target:{name}", UNPROVEN, NOT_JUDGED) for name in targets]
