"""What can be known of a connection without sending a conversion: the person, the account, each goal."""

from collections.abc import Mapping, Sequence

from connectors.ads.microsoft.api import CUSTOMER, Api
from connectors.ads.microsoft.errors import ACCESS_MEND, GOAL_MEND, TOKEN_MEND, Meaning, meaning_of
from connectors.ads.microsoft.payload import GOAL, is_goal_name
from connectors.ads.microsoft.provision import WINDOW_MINUTES
from connectors.ads.microsoft.settings import MicrosoftSettings
from connectors.contract.conversions import Target
from connectors.contract.errors import AuthenticationFailed, ConnectorError
from connectors.contract.findings import Finding, FindingStatus
from connectors.upload.json_values import as_list, as_object, as_text, as_whole

OK, FAILED, UNPROVEN = FindingStatus.OK, FindingStatus.FAILED, FindingStatus.UNPROVEN
WAIT_MEND = "check again in some minutes; where it stays so, look at base_url"
PROVISION_MEND = "`leadloop destinations provision` sets it"
NOT_JUDGED = "not judged, as the question before it failed"


async def check_account(targets: Mapping[str, Target], settings: MicrosoftSettings, api: Api) -> Sequence[Finding]:
    """Findings on `token`, `account`, `permission`, `target:<milestone>`; a refusal is a finding, never an exception."""
    try:
        await api.read(CUSTOMER, "/User/Query", {"UserId": None})
    except ConnectorError as error:
        return [*_refused(error), *_not_judged(targets)]
    token = Finding("token", OK, "Microsoft knows the person who connected")
    try:
        predicates = [{"Field": "AccountId", "Operator": "Equals", "Value": settings.account_id}]
        page = {"Predicates": predicates, "Ordering": None, "PageInfo": {"Index": 0, "Size": 10}}
        accounts = [as_object(one) for one in as_list((await api.read(CUSTOMER, "/Accounts/Search", page)).get("Accounts"))]
    except ConnectorError as error:
        return [token, Finding("account", FAILED, error.message, _mend(error)), *_not_judged(targets)]
    account = next((one for one in accounts if str(one.get("Id", "")) == settings.account_id), None)
    if account is None:
        said = f"the person reaches no ad account {settings.account_id}"
        return [token, Finding("account", FAILED, said, ACCESS_MEND), *_not_judged(targets)]
    named = Finding("account", OK, f"ad account {settings.account_id} is there: {as_text(account.get('Name'))}")
    permission = Finding("permission", UNPROVEN, "that the person may upload is proven by the first conversion only")
    try:
        goals = {as_text(one.get("Name")): one for one in await api.goals()}
    except ConnectorError as error:
        failed = Finding("account", FAILED, error.message, _mend(error))
        return [token, failed, *_not_judged(targets)]
    return [token, named, permission, *(_goal(name, target.get(GOAL) or "", goals) for name, target in targets.items())]


def _refused(error: ConnectorError) -> Sequence[Finding]:
    if not isinstance(error, AuthenticationFailed):
        return [Finding("token", UNPROVEN, NOT_JUDGED), Finding("account", FAILED, error.message, WAIT_MEND)]
    code = error.code.partition(" ")[0]
    if code.isdigit() and meaning_of(int(code)) is Meaning.ACCESS:
        return [Finding("token", OK, "Microsoft knows the token"), Finding("account", FAILED, error.message, ACCESS_MEND)]
    return [Finding("token", FAILED, error.message, TOKEN_MEND), Finding("account", UNPROVEN, NOT_JUDGED)]


def _goal(name: str, wanted: str, goals: Mapping[str, Mapping[str, object]]) -> Finding:
    subject = f"target:{name}"
    goal = goals.get(wanted)
    if not is_goal_name(wanted) or goal is None:
        near = next((one for one in goals if one.strip().lower() == wanted.strip().lower()), "")
        said = f"the account has no offline conversion goal `{wanted}`" + (f"; there is `{near}`" if near else "")
        return Finding(subject, FAILED, said, GOAL_MEND)
    if goal.get("Status") not in ("Active", None):
        return Finding(subject, FAILED, f"goal `{wanted}` is {as_text(goal.get('Status')).lower()}", PROVISION_MEND)
    notes = []
    if (as_whole(goal.get("ConversionWindowInMinutes")) or 0) < WINDOW_MINUTES:
        notes.append("counts clicks of less than 90 days")
    if goal.get("IsEnhancedConversionsEnabled") is not True:
        notes.append("takes no hashed identifiers")
    return Finding(
        subject, OK, f"goal `{wanted}` is there" + "".join(f"; it {one}" for one in notes), PROVISION_MEND if notes else ""
    )


def _mend(error: ConnectorError) -> str:
    return ACCESS_MEND if isinstance(error, AuthenticationFailed) else WAIT_MEND


def _not_judged(targets: Mapping[str, Target]) -> list[Finding]:
    return [Finding(f"target:{name}", UNPROVEN, NOT_JUDGED) for name in targets]
