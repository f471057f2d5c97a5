"""May this caller send to these destinations: accounts, managers, conversion actions, the owner of a click (pure)."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from connectors.simulators.google.oauth import AccessToken
from connectors.simulators.google.refusals import Violation, denied
from connectors.simulators.google.request import Destination, IngestRequest
from connectors.simulators.google.world import Account, ConversionAction, EnhancedConversions, World

YOUNGEST_ACTION = timedelta(hours=6)
_REFUSING = {
    EnhancedConversions.OFF: "DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS",
    EnhancedConversions.TERMS_NOT_SIGNED: "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED",
}


def refuse_strangers(destinations: Iterable[Destination], token: AccessToken, world: World) -> None:
    """Raise 403 where the caller has no access to the operating account by the way the destination names."""
    for destination in destinations:
        operating = destination.operating.id
        login = destination.login.id if destination.login else operating
        if not may_use(token, world, login, operating):
            raise denied("The caller does not have permission.")


def may_use(token: AccessToken, world: World, login: str, operating: str) -> bool:
    """Whether the token's owner is a user of the login account, and that account reaches the operating one."""
    account = world.accounts.get(operating)
    return account is not None and login in token.accounts and (login == operating or login in account.managers)


def destination_violations(request: IngestRequest, world: World, now: datetime) -> Iterator[Violation]:
    """What is wrong with each destination: its account's kind, its conversion action, its terms."""
    for position, destination in enumerate(request.destinations):
        path = f"destinations[{position}]"
        account = world.accounts[destination.operating.id]
        yield from _account_kinds(destination, path)
        yield from _action(account, destination.action, f"{path}.product_destination_id", now)
        reason = _REFUSING.get(account.enhanced_conversions)
        if reason and any(event.identifiers and position in request.targets(event) for event in request.events):
            yield Violation(f"{path}.operating_account", "The account can't take user data for leads.", reason)


def owner_violations(request: IngestRequest, world: World) -> Iterator[Violation]:
    """Click ids that belong to an account which does not report to the operating account."""
    for event in request.events:
        for kind, click_id in event.clicks:
            click = world.clicks.get((kind, click_id))
            operating = (request.destinations[position].operating.id for position in request.targets(event))
            if click is not None and not all(world.is_of(click.account, account) for account in operating):
                field = f"events[{event.index}].ad_identifiers.{kind.value}"
                yield Violation(field, "The ad identifier does not belong to the account.", "INVALID_AD_IDENTIFIER_FOR_ACCOUNT")


def _account_kinds(destination: Destination, path: str) -> Iterator[Violation]:
    named = [("operating_account", destination.operating)]
    if destination.login is not None:
        named.append(("login_account", destination.login))
    for field, account in named:
        if account.kind != "GOOGLE_ADS" or account.product not in ("", account.kind):
            text = "The account is of another type."
            yield Violation(f"{path}.{field}.account_type", text, "DESTINATION_ACCOUNT_TYPE_MISMATCH")
    if destination.has_linked:
        reason = "LINKED_ACCOUNT_ONLY_ALLOWED_WITH_DATA_PARTNER_LOGIN_ACCOUNT"
        yield Violation(f"{path}.linked_account", "Only data partners name a linked account.", reason)


def _action(account: Account, action_id: str, path: str, now: datetime) -> Iterator[Violation]:
    action: ConversionAction | None = account.actions.get(action_id)
    if not action_id:
        yield Violation(path, "Required field is missing.", "REQUIRED_FIELD_MISSING")
    elif action is None or not action.is_enabled:
        yield Violation(path, "Conversion action ID is not valid.", "INVALID_CONVERSION_ACTION_ID")
    elif action.kind != "UPLOAD_CLICKS":
        yield Violation(path, "The conversion action type is not valid.", "INVALID_CONVERSION_ACTION_TYPE")
    elif now - action.created_at < YOUNGEST_ACTION:
        yield Violation(path, "The conversion action was created too recently.", "CONVERSION_ACTION_TOO_RECENTLY_CREATED")
