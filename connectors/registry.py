"""Which connectors there are: two plain dicts, kind -> class, each of which opens itself. No scanning, no entry points."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import httpx

from connectors.ads.google.destination import GoogleDestination
from connectors.ads.linkedin.destination import LinkedInDestination
from connectors.ads.meta.destination import MetaDestination
from connectors.ads.microsoft.destination import MicrosoftDestination
from connectors.ads.tiktok.destination import TikTokDestination
from connectors.contract.destination import AdDestination
from connectors.contract.source import CrmSource, WebhookParser, WebhookReply, WebhookRequest
from connectors.contract.tokens import TokenStore
from connectors.crm.hubspot.source import HubSpotSource
from connectors.crm.hubspot.webhook import parse_webhook as parse_hubspot_webhook
from connectors.crm.pipedrive.source import PipedriveSource
from connectors.crm.pipedrive.webhook import parse_webhook as parse_pipedrive_webhook
from connectors.crm.salesforce.source import SalesforceSource
from connectors.crm.salesforce.webhook import acknowledge as acknowledge_salesforce
from connectors.crm.salesforce.webhook import parse_webhook as parse_salesforce_webhook
from connectors.http.auth import Lock
from connectors.http.client import Hooks

Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[None]]


class OpenableSource(CrmSource, Protocol):
    """A CRM connector that the registry can open."""

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        ...

    @classmethod
    def open(
        cls,
        settings: Mapping[str, str],
        http: httpx.AsyncClient,
        tokens: TokenStore,
        lock: Lock,
        clock: Clock,
        hooks: Hooks,
        sleep: Sleep,
        time_zone: str | None = None,
    ) -> CrmSource:
        """A connector from its text settings; `time_zone` is the account's, where it was described."""
        ...


class OpenableDestination(AdDestination, Protocol):
    """An ad platform connector that the registry can open."""

    @classmethod
    def check_settings(cls, settings: Mapping[str, str]) -> None:
        """ValueError names what is missing or unknown."""
        ...

    @classmethod
    def open(
        cls,
        settings: Mapping[str, str],
        http: httpx.AsyncClient,
        tokens: TokenStore,
        lock: Lock,
        clock: Clock,
        hooks: Hooks,
        sleep: Sleep,
    ) -> AdDestination:
        """A connector from its text settings."""
        ...


SOURCES: Mapping[str, type[OpenableSource]] = {
    HubSpotSource.kind: HubSpotSource,
    PipedriveSource.kind: PipedriveSource,
    SalesforceSource.kind: SalesforceSource,
}
DESTINATIONS: Mapping[str, type[OpenableDestination]] = {
    GoogleDestination.kind: GoogleDestination,
    LinkedInDestination.kind: LinkedInDestination,
    MetaDestination.kind: MetaDestination,
    MicrosoftDestination.kind: MicrosoftDestination,
    TikTokDestination.kind: TikTokDestination,
}


def check_settings(kind: str, settings: Mapping[str, str]) -> None:
    """ValueError names what is missing or unknown in a connection's settings; LookupError where there is no such kind."""
    if kind in SOURCES:
        SOURCES[kind].check_settings(settings)
    else:
        DESTINATIONS[kind].check_settings(settings)


def open_source(  # noqa: PLR0913, PLR0917 everything a connector needs
    kind: str,
    settings: Mapping[str, str],
    http: httpx.AsyncClient,
    tokens: TokenStore,
    lock: Lock,
    clock: Clock,
    hooks: Hooks,
    sleep: Sleep,
    time_zone: str | None = None,
) -> CrmSource:
    """A CRM connector; LookupError where there is none of this kind. `time_zone`: the account's, where it was described."""
    return SOURCES[kind].open(settings, http, tokens, lock, clock, hooks, sleep, time_zone)


def open_destination(
    kind: str,
    settings: Mapping[str, str],
    http: httpx.AsyncClient,
    tokens: TokenStore,
    lock: Lock,
    clock: Clock,
    hooks: Hooks,
    sleep: Sleep,
) -> AdDestination:
    """An ad platform connector; LookupError where there is none of this kind."""
    return DESTINATIONS[kind].open(settings, http, tokens, lock, clock, hooks, sleep)


@dataclass(frozen=True, slots=True)
class WebhookDoor:
    """How a CRM's webhooks are taken.

    `needs_secret`: nobody is believed before the setting WEBHOOK_SECRETS is there. `is_one_account`: an address is one
    account's alone, so that events of another account are refused. `acknowledge`: what the vendor must read, None for 204.
    """

    parse: WebhookParser
    needs_secret: bool = True
    is_one_account: bool = False
    acknowledge: Callable[[WebhookRequest], WebhookReply | None] | None = None


# The webhook door of each CRM that has one, and the setting that holds its secrets.
WEBHOOKS: Mapping[str, WebhookDoor] = {
    HubSpotSource.kind: WebhookDoor(parse_hubspot_webhook),
    PipedriveSource.kind: WebhookDoor(parse_pipedrive_webhook, is_one_account=True),
    # Outbound messages carry no secret: their address and their organization are all that proves them.
    SalesforceSource.kind: WebhookDoor(
        parse_salesforce_webhook, needs_secret=False, is_one_account=True, acknowledge=acknowledge_salesforce
    ),
}
WEBHOOK_SECRETS = "webhook_secrets"

# Settings that are shown to nobody, whatever the kind of connection; all others are.
CREDENTIALS = frozenset(
    {
        "access_token",
        "api_token",
        "app_secret",
        "client_secret",
        "developer_token",
        "private_key",
        "refresh_token",
        "service_account_json",
        "username",
        WEBHOOK_SECRETS,
    }
)


def webhook_secrets(settings: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets of which any may have signed, from resolved settings: separated by commas or blanks."""
    return tuple(settings.get(WEBHOOK_SECRETS, "").replace(",", " ").split())
