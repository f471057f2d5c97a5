"""HubSpot: what changed in its CRM, read by search, batch read and associations; its signed webhooks as hints."""

from connectors.crm.hubspot.settings import HubSpotSettings
from connectors.crm.hubspot.source import HubSpotSource
from connectors.crm.hubspot.webhook import parse_webhook

__all__ = ["HubSpotSettings", "HubSpotSource", "parse_webhook"]
