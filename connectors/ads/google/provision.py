"""Conversion actions for milestones: found by id or name, made where they are missing."""

from collections.abc import Mapping, Sequence

from connectors.ads.google.ads_api import AdsApi, JsonObject
from connectors.ads.google.ads_refusals import ads_errors
from connectors.ads.google.payload import CONVERSION_ACTION, is_action_id
from connectors.contract.conversions import Target
from connectors.contract.errors import RequestRefused
from connectors.contract.provisioning import PlannedTarget, Provision, WantedTarget
from connectors.upload.json_values import as_list, as_object, as_text, as_whole

ACTIONS = (
    "SELECT conversion_action.id, conversion_action.name, conversion_action.status, conversion_action.type,"
    " conversion_action.category, conversion_action.counting_type, conversion_action.click_through_lookback_window_days,"
    " conversion_action.value_settings.default_value, conversion_action.value_settings.always_use_default_value"
    " FROM conversion_action WHERE conversion_action.type = 'UPLOAD_CLICKS'"
)
# Days after a click; the longest that Google takes.
WINDOW_DAYS = 90
_CATEGORIES: Mapping[str, str] = {
    "lead": "IMPORTED_LEAD",
    "qualified_lead": "QUALIFIED_LEAD",
    "opportunity": "CONVERTED_LEAD",
    "closed_revenue": "PURCHASE",
}


async def actions_of(ads: AdsApi) -> Sequence[JsonObject]:
    """The account's conversion actions for uploads, removed ones left out."""
    found = [as_object(row.get("conversionAction")) for row in await ads.rows(ACTIONS)]
    return [one for one in found if one.get("status") != "REMOVED"]


async def plan(wanted: Sequence[WantedTarget], ads: AdsApi) -> Sequence[PlannedTarget]:
    """What there is and what would be done."""
    actions = await actions_of(ads)
    return [_planned(one, actions) for one in wanted]


async def provision(wanted: Sequence[WantedTarget], ads: AdsApi) -> Sequence[PlannedTarget]:
    """Make what is missing, in one request; an action that Google refuses is blocked alone."""
    planned = list(await plan(wanted, ads))
    places = [place for place, one in enumerate(planned) if one.action is Provision.CREATE]
    if not places:
        return planned
    try:
        answer = await ads.create_actions([_action(wanted[place]) for place in places])
    except RequestRefused as error:
        for place in places:
            planned[place] = PlannedTarget(wanted[place].milestone, Provision.BLOCKED, error.message)
        return planned
    refused = {one.index: f"{one.code} {one.message}" for one in ads_errors(answer)}
    names = [as_text(as_object(one).get("resourceName")) for one in as_list(answer.get("results"))]
    for number, place in enumerate(places):
        made = names[number].rpartition("/")[2] if number < len(names) else ""
        if number in refused or not made:
            why = refused.get(number) or refused.get(None, "Google gave no id")
            planned[place] = PlannedTarget(wanted[place].milestone, Provision.BLOCKED, why)
        else:
            target = Target.of({CONVERSION_ACTION: made})
            planned[place] = PlannedTarget(wanted[place].milestone, Provision.CREATE, planned[place].message, target)
    return planned


def _planned(wanted: WantedTarget, actions: Sequence[JsonObject]) -> PlannedTarget:
    named = (wanted.target.get(CONVERSION_ACTION) if wanted.target else "") or ""
    if is_action_id(named):
        found = next((one for one in actions if str(one.get("id")) == named), None)
        if found is None:
            said = f"the account has no conversion action {named} for uploads; name another, or leave it out to have one made"
            return PlannedTarget(wanted.milestone, Provision.BLOCKED, said)
    else:
        name = named or wanted.name
        found = next((one for one in actions if one.get("name") == name), None)
        if found is None:
            category = _CATEGORIES.get(wanted.milestone, "DEFAULT")
            return PlannedTarget(
                wanted.milestone, Provision.CREATE, f"a conversion action `{name}` ({category}); it is ready in 6 hours"
            )
    action, target = str(found.get("id")), Target.of({CONVERSION_ACTION: str(found.get("id"))})
    if found.get("status") != "ENABLED":
        said = f"conversion action {action} is {as_text(found.get('status')).lower()}; enable it in Google Ads"
        return PlannedTarget(wanted.milestone, Provision.BLOCKED, said, target)
    days = as_whole(found.get("clickThroughLookbackWindowDays"))
    note = f"; its click window is {days} days, 90 would lose less" if days is not None and days < WINDOW_DAYS else ""
    return PlannedTarget(wanted.milestone, Provision.KEEP, f"conversion action {action} is there{note}", target)


def _action(wanted: WantedTarget) -> JsonObject:
    action: dict[str, object] = {
        "name": (wanted.target.get(CONVERSION_ACTION) if wanted.target else "") or wanted.name,
        "type": "UPLOAD_CLICKS",
        "status": "ENABLED",
        "category": _CATEGORIES.get(wanted.milestone, "DEFAULT"),
        "countingType": "MANY_PER_CLICK",
        "clickThroughLookbackWindowDays": str(WINDOW_DAYS),
        "valueSettings": {"defaultValue": 0, "alwaysUseDefaultValue": False},
    }
    return action
