"""Conversion rules for milestones: found by id or name, made where they are missing, switched on where they are off."""

from collections.abc import Mapping, Sequence

from connectors.ads.linkedin.api import Api, rule_id
from connectors.ads.linkedin.payload import CONVERSION_RULE, is_rule_id
from connectors.ads.linkedin.settings import LinkedInSettings
from connectors.contract.conversions import Target
from connectors.contract.errors import RequestRefused
from connectors.contract.provisioning import PlannedTarget, Provision, WantedTarget
from connectors.upload.json_values import as_text

METHOD = "CONVERSIONS_API"
# Days after a click, where a type takes a year, that; else the longest of the rest.
LONG_WINDOW = 365
LONGEST_USUAL_WINDOW = 90
_LONG_TYPES = frozenset({"SUBMIT_APPLICATION", "PURCHASE", "ADD_TO_CART", "QUALIFIED_LEAD", "LEAD"})
# Types of the conversion schema (2026-03); which of them a version takes is told by its refusal.
_TYPES: Mapping[str, str] = {
    "lead": "LEAD",
    "qualified_lead": "QUALIFIED_LEAD",
    "opportunity": "QUALIFIED_LEAD",
    "closed_revenue": "PURCHASE",
}


async def plan(wanted: Sequence[WantedTarget], settings: LinkedInSettings, api: Api) -> Sequence[PlannedTarget]:
    """What there is and what would be done."""
    rules = await api.rules(settings.account_urn)
    return [_planned(one, rules) for one in wanted]


async def provision(wanted: Sequence[WantedTarget], settings: LinkedInSettings, api: Api) -> Sequence[PlannedTarget]:
    """Do it; a rule that LinkedIn refuses is blocked with its words, the others are made."""
    done: list[PlannedTarget] = []
    for one, planned in zip(wanted, await plan(wanted, settings, api), strict=True):
        try:
            done.append(await _do(one, planned, settings, api))
        except RequestRefused as error:
            done.append(PlannedTarget(one.milestone, Provision.BLOCKED, error.message, planned.target))
    return done


def _planned(wanted: WantedTarget, rules: Sequence[Mapping[str, object]]) -> PlannedTarget:
    named = (wanted.target.get(CONVERSION_RULE) if wanted.target else "") or ""
    if is_rule_id(named):
        found = next((rule for rule in rules if rule_id(rule) == named), None)
        if found is None:
            said = f"the account has no rule {named}; name another, or leave it out to have one made"
            return PlannedTarget(wanted.milestone, Provision.BLOCKED, said)
    else:
        name = named or wanted.name
        found = next((rule for rule in rules if rule.get("name") == name and rule.get("conversionMethod") == METHOD), None)
        if found is None:
            kind = _TYPES.get(wanted.milestone, "OTHER")
            return PlannedTarget(wanted.milestone, Provision.CREATE, f"a rule `{name}` of the type {kind}")
    rule, target = rule_id(found), Target.of({CONVERSION_RULE: rule_id(found)})
    if found.get("conversionMethod") != METHOD:
        said = f"rule {rule} was not made for the Conversions API; name another, or leave it out to have one made"
        return PlannedTarget(wanted.milestone, Provision.BLOCKED, said, target)
    if found.get("enabled") is False:
        return PlannedTarget(wanted.milestone, Provision.CHANGE, f"rule {rule} is switched on", target)
    return PlannedTarget(wanted.milestone, Provision.KEEP, f"rule {rule} `{as_text(found.get('name'))}` is there", target)


async def _do(wanted: WantedTarget, planned: PlannedTarget, settings: LinkedInSettings, api: Api) -> PlannedTarget:
    match planned.action:
        case Provision.CREATE:
            made = await api.create_rule(_rule(wanted, settings))
            return PlannedTarget(wanted.milestone, Provision.CREATE, planned.message, Target.of({CONVERSION_RULE: made}))
        case Provision.CHANGE if planned.target is not None:
            await api.change_rule(planned.target.get(CONVERSION_RULE) or "", settings.account_urn, {"enabled": True})
    return planned


def _rule(wanted: WantedTarget, settings: LinkedInSettings) -> dict[str, object]:
    kind = _TYPES.get(wanted.milestone, "OTHER")
    return {
        "name": (wanted.target.get(CONVERSION_RULE) if wanted.target else "") or wanted.name,
        "account": settings.account_urn,
        "conversionMethod": METHOD,
        "type": kind,
        "postClickAttributionWindowSize": LONG_WINDOW if kind in _LONG_TYPES else LONGEST_USUAL_WINDOW,
        "viewThroughAttributionWindowSize": 7,
        "attributionType": "LAST_TOUCH_BY_CAMPAIGN",
        "enabled": True,
    }
