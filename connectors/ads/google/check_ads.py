"""What the Google Ads API tells of a connection: whether the grant reaches it, and how the account and its actions are set."""

from collections.abc import Mapping, Sequence

from connectors.ads.google.ads_api import GRANT_MEND, AdsApi
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
    " customer.conversion_tracking_setting.effective_enablement_setting FROM customer"
)


async def check_ads(targets: Mapping[str, Target], ads: AdsApi, before: Sequence[Finding]) -> Sequence[Finding]:
    """Findings on `ads_api`, `auto_tagging`, `customer_data_terms`, `action:<milestone>`: none fails, as uploads go on."""
    if any(one.subject in ("token", "account") and one.status is FindingStatus.FAILED for one in before):
        return []
    try:
        rows = await ads.rows(CUSTOMER)
        actions = {str(one.get("id")): one for one in await actions_of(ads)}
    except ConnectorError as error:
        said = f"no retraction, no spend, no provisioning: {error.message}"
        return [Finding("ads_api", UNPROVEN, said, GRANT_MEND)]
    customer = as_object(rows[0].get("customer")) if rows else {}
    tracking = as_object(customer.get("conversionTrackingSetting"))
    findings = [Finding("ads_api", OK, "the grant reaches the Google Ads API: corrections, spend and provisioning work")]
    if customer.get("autoTaggingEnabled") is not True:
        mend = "switch auto-tagging on in the account's settings: without it no click has a gclid"
        findings.append(Finding("auto_tagging", UNPROVEN, "auto-tagging is off", mend))
    if tracking.get("acceptedCustomerDataTerms") is not True:
        mend = "let the owner accept the customer data terms and switch on enhanced conversions for leads"
        findings.append(Finding("customer_data_terms", UNPROVEN, "hashed identifiers are not used: the terms are open", mend))
    for name, target in targets.items():
        action = actions.get(target.get(CONVERSION_ACTION) or "")
        if action is None:
            continue
        days = as_whole(action.get("clickThroughLookbackWindowDays"))
        if days is not None and days < WINDOW_DAYS:
            said = f"counts conversions of {days} days after a click"
            findings.append(Finding(f"action:{name}", UNPROVEN, said, f"set its click window to {WINDOW_DAYS} days"))
        if as_object(action.get("valueSettings")).get("alwaysUseDefaultValue") is True:
            said = "always uses its default value: values and restatements are ignored"
            findings.append(Finding(f"action:{name}", UNPROVEN, said, "let it use different values in Google Ads"))
    return findings
