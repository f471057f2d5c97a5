"""HubSpot as of November 2026: an account in memory and the API over it."""

from connectors.simulators.disorder import Disorder
from connectors.simulators.hubspot.app import create_hubspot
from connectors.simulators.hubspot.catalogue import DEFAULT_SCOPES, Stage
from connectors.simulators.hubspot.limits import Tier
from connectors.simulators.hubspot.portal import Portal
from connectors.simulators.hubspot.tokens import OAuthApp
from connectors.simulators.hubspot.webhooks import Outbox, SignedRequest, Subscription, sign_v3, signed_request

__all__ = [
    "DEFAULT_SCOPES",
    "Disorder",
    "OAuthApp",
    "Outbox",
    "Portal",
    "SignedRequest",
    "Stage",
    "Subscription",
    "Tier",
    "create_hubspot",
    "sign_v3",
    "signed_request",
]
