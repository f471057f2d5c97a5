"""Which connectors there are: two plain dicts, kind -> class, and how each is opened. No scanning, no entry points."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import httpx

from connectors.ads.google.destination import GoogleDestination, auth_from
from connectors.ads.google.settings import GoogleSettings
from connectors.contract.destination import AdDestination
from connectors.contract.source import CrmSource
from connectors.contract.tokens import TokenStore
from connectors.crm.hubspot.source import HubSpotSettings, HubSpotSource
from connectors.http.auth import Lock
from connectors.http.client import Hooks

Clock = Callable[[], datetime]
Sleep = Callable[[float], Awaitable[None]]

SOURCES: Mapping[str, type[HubSpotSource]] = {HubSpotSource.kind: HubSpotSource}
DESTINATIONS: Mapping[str, type[GoogleDestination]] = {GoogleDestination.kind: GoogleDestination}


def check_settings(kind: str, settings: Mapping[str, str]) -> None:
    """ValueError names what is missing or unknown in a connection's settings."""
    if kind in SOURCES:
        HubSpotSettings.from_mapping(settings)
    else:
        GoogleSettings.from_mapping(settings)


def open_source(
    kind: str,
    settings: Mapping[str, str],
    http: httpx.AsyncClient,
    clock: Clock,
    hooks: Hooks,
    sleep: Sleep,
    time_zone: str | None = None,
) -> CrmSource:
    """A CRM connector; LookupError where there is none of this kind. `time_zone`: the account's, where it was described."""
    return SOURCES[kind](http, HubSpotSettings.from_mapping(settings), clock, hooks, sleep, time_zone)


def open_destination(
    kind: str,
    settings: Mapping[str, str],
    http: httpx.AsyncClient,
    tokens: TokenStore,
    lock: Lock,
    clock: Clock,
    hooks: Hooks,
) -> AdDestination:
    """An ad platform connector; LookupError where there is none of this kind."""
    chosen = GoogleSettings.from_mapping(settings)
    return DESTINATIONS[kind](http, chosen, auth_from(chosen, http, tokens, lock, clock), clock, hooks)
