"""Pipedrive as of November 2026: a company in memory and the API over it."""

from connectors.simulators.disorder import Disorder
from connectors.simulators.pipedrive.app import create_pipedrive
from connectors.simulators.pipedrive.company import DEFAULT_SCOPES, Company
from connectors.simulators.pipedrive.limits import Plan
from connectors.simulators.pipedrive.rows import Kind
from connectors.simulators.pipedrive.tokens import OAuthApp
from connectors.simulators.pipedrive.webhooks import Webhook, WebhookRequest

__all__ = [
    "DEFAULT_SCOPES",
    "Company",
    "Disorder",
    "Kind",
    "OAuthApp",
    "Plan",
    "Webhook",
    "WebhookRequest",
    "create_pipedrive",
]
