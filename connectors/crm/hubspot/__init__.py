"""HubSpot as a source: search finds what changed, batch reads give histories, associations give people."""

from connectors.crm.hubspot.source import HubSpotSettings, HubSpotSource

__all__ = ["HubSpotSettings", "HubSpotSource"]
