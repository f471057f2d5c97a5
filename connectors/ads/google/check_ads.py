"""What the Google Ads API tells of a connection: whether the grant reaches it, and how the account and its actions are set."""

from collections.abc import Mapping, Sequence

from connectors.ads.google.ads_api import GRANT_MEND, AdsApi, JsonObject
from connectors.ads.google.payload import CONVERSION_ACTION
from connectors.ads.google.provision import WINDOW_DAYS, actions_of
from connectors.contract.conversions import Target
from connectors.contract.errors import ConnectorError
from connectors.contract.findings import Finding, FindingStatus
from connectors.upload.json_values import as_object, as_whole

OK, UNPROVEN = FindingStatus.OK, FindingStatus.UNPROVEN
CUSTOMER = (
    "SELECT customer.id, customer.currency_code, customer.time_zone, customer.auto_tagging_enabled,"
    " customer.conversion_tracking_setting.accepted_customer_data_terms,"
    " customer.conversion_tracking_setting.{switch} FROM customer"
)
# The switch for enhanced conversions has another name since v26 (google-ads 34.0.0), and each version refuses the other's.
OLD_SWITCH, SWITCH = "enhanced_conversions_for_leads_enabled", "effective_enablement_setting"
FIRST_WITH_SWITCH = 26


async def check_ads(targets: Mapping[str, Target], ads: AdsApi, before: Sequence[Finding]) -> Sequence[Finding]:
    """Findings on `ads_api`, `auto_tagging`, `customer_data_terms`, `enhanced_conversions` and `action:<milestone>`.

    None fails, as uploads go on.
    """
    if any(one.subject in ("token", "account") and one.status is FindingStatus.FAILED for one in before):
        return []
    try:
        rows = await ads.rows(CUSTOMER.format(switch=_switch(ads.version)))
        actions = {str(one.get("id")): one for one in await actions_of(ads)}
    except ConnectorError as error:
        said = f"no retraction, no spend, no provisioning: {error.message}"
        return [Finding("ads_api", UNPROVEN, said, GRANT_MEND)]
    customer = as_object(rows[0].get("customer")) if rows else {}
    said = "the grant reaches the Google Ads API: corrections, spend and provisioning work"
    found = [Finding("ads_api", OK, said), *_of_account(customer)]
    for name, target in targets.items():
        action = actions.get(target.get(CONVERSION_ACTION) or "")
        found += [] if action is None else _of_action(f"action:{name}", action)
    return found


def _switch(version: str) -> str:
    number = version.removeprefix("v").partition("_")[0]
    return OLD_SWITCH if number.isdigit() and int(number) < FIRST_WITH_SWITCH else SWITCH


def _of_account(customer: JsonObject) -> Sequence[Finding]:
    tracking = as_object(customer.get("conversionTrackingSetting"))
    findings = []
    if customer.get("autoTaggingEnabled") is not True:
        mend = "switch auto-tagging on in the account's settings: without it no click has a gclid"
        findings.append(Finding("auto_tagging", UNPROVEN, "auto-tagging is off", mend))
    if tracking.get("acceptedCustomerDataTerms") is not True:
        mend = "let the owner accept the customer data terms and switch on enhanced conversions for leads"
        findings.append(Finding("customer_data_terms", UNPROVEN, "hashed identifiers are not used: the terms are open", mend))
    elif tracking.get("effectiveEnablementSetting") != "ON" and tracking.get("enhancedConversionsForLeadsEnabled") is not True:
        mend = "switch on enhanced conversions for leads in the account's conversion settings"
        findings.append(Finding("enhanced_conversions", UNPROVEN, "hashed identifiers are not used: the switch is off", mend))
    return findings


def _of_action(subject: str, action: JsonObject) -> Sequence[Finding]:
    findings = []
    days = as_whole(action.get("clickThroughLookbackWindowDays"))
    if days is not None and days < WINDOW_DAYS:
        said = f"counts conversions of {days} days after a click"
        findings.append(Finding(subject, UNPROVEN, said, f"set its click window to {WINDOW_DAYS} days"))
    if as_object(action.get("valueSettings")).get("alwaysUseDefaultValue") is True:
        said = "always uses its default value: values and restatements are ignored"
        findings.append(Finding(subject, UNPROVEN, said, "let it use different values in Google Ads"))
    return findings
