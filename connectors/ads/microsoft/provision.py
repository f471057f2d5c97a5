"""Offline conversion goals for milestones: found by name, made where they are missing, mended where they would lose rows."""

from collections.abc import Mapping, Sequence

from connectors.ads.microsoft.api import Api
from connectors.ads.microsoft.payload import GOAL, is_goal_name
from connectors.contract.conversions import Target
from connectors.contract.errors import RequestRefused
from connectors.contract.provisioning import PlannedTarget, Provision, WantedTarget
from connectors.http.scrub import scrub
from connectors.upload.json_values import as_list, as_object, as_text, as_whole

# Ninety days, the longest that Microsoft takes.
WINDOW_MINUTES = 129_600
# Microsoft has no category for a qualified lead.
_CATEGORIES: Mapping[str, str] = {
    "lead": "SubmitLeadForm",
    "qualified_lead": "SubmitLeadForm",
    "opportunity": "RequestQuote",
    "closed_revenue": "Purchase",
}
REVENUE = "closed_revenue"

JsonObject = Mapping[str, object]


async def plan(wanted: Sequence[WantedTarget], api: Api) -> Sequence[PlannedTarget]:
    """What there is and what would be done."""
    goals = {as_text(goal.get("Name")): goal for goal in await api.goals()}
    return [_planned(one, goals) for one in wanted]


async def provision(wanted: Sequence[WantedTarget], api: Api) -> Sequence[PlannedTarget]:
    """Do it, in one request for what is new and one for what changes; a goal that Microsoft refuses is blocked alone."""
    goals = {as_text(goal.get("Name")): goal for goal in await api.goals()}
    planned = [_planned(one, goals) for one in wanted]
    for action in (Provision.CREATE, Provision.CHANGE):
        chosen = [place for place, one in enumerate(planned) if one.action is action]
        if not chosen:
            continue
        made = [_goal(wanted[place], goals.get(_name(wanted[place]))) for place in chosen]
        try:
            answer = await api.save_goals(made, are_new=action is Provision.CREATE)
        except RequestRefused as error:
            refused = dict.fromkeys(chosen, error.message)
        else:
            refused = {chosen[place]: said for place, said in _refusals(answer) if place < len(chosen)}
        for place in chosen:
            target = Target.of({GOAL: _name(wanted[place])})
            if place in refused:
                planned[place] = PlannedTarget(wanted[place].milestone, Provision.BLOCKED, refused[place])
            else:
                planned[place] = PlannedTarget(wanted[place].milestone, action, planned[place].message, target)
    return planned


def _planned(wanted: WantedTarget, goals: Mapping[str, JsonObject]) -> PlannedTarget:
    name = _name(wanted)
    target = Target.of({GOAL: name})
    if not is_goal_name(name):
        return PlannedTarget(wanted.milestone, Provision.BLOCKED, "a goal's name is a text of at most 100 characters")
    goal = goals.get(name)
    if goal is None:
        return PlannedTarget(wanted.milestone, Provision.CREATE, f"a goal `{name}`; it takes conversions two hours later")
    if goal.get("Status") == "Deleted":
        said = f"goal `{name}` was deleted, and its name cannot be used again; name another in the mapping"
        return PlannedTarget(wanted.milestone, Provision.BLOCKED, said, target)
    changes = _lacks(goal)
    if changes:
        return PlannedTarget(wanted.milestone, Provision.CHANGE, f"goal `{name}`: {', '.join(changes)}", target)
    return PlannedTarget(wanted.milestone, Provision.KEEP, f"goal `{name}` is there", target)


def _lacks(goal: JsonObject) -> Sequence[str]:
    """What would lose conversions."""
    found = []
    if goal.get("Status") not in ("Active", None):
        found.append("made active")
    if (as_whole(goal.get("ConversionWindowInMinutes")) or 0) < WINDOW_MINUTES:
        found.append("its window becomes 90 days")
    if goal.get("IsEnhancedConversionsEnabled") is not True:
        found.append("hashed identifiers are taken")
    return found


def _goal(wanted: WantedTarget, known: JsonObject | None) -> JsonObject:
    common = {
        "Type": "OfflineConversion",
        "Name": _name(wanted),
        "Status": "Active",
        "ConversionWindowInMinutes": WINDOW_MINUTES,
        "IsEnhancedConversionsEnabled": True,
    }
    if known is not None:
        return {**common, "Id": known.get("Id")}
    return {
        **common,
        "Scope": "Account",
        "CountType": "All" if wanted.milestone == REVENUE else "Unique",
        "GoalCategory": _CATEGORIES.get(wanted.milestone, "Other"),
        "Revenue": {"Type": "VariableValue", "Value": 0, "CurrencyCode": wanted.currency},
    }


def _name(wanted: WantedTarget) -> str:
    return (wanted.target.get(GOAL) if wanted.target else "") or wanted.name


def _refusals(answer: JsonObject) -> Sequence[tuple[int, str]]:
    errors = [as_object(one) for one in as_list(answer.get("PartialErrors")) if one]
    return [
        (as_whole(one.get("Index")) or 0, f"{as_text(one.get('ErrorCode'))}: {scrub(as_text(one.get('Message')))}")
        for one in errors
    ]
