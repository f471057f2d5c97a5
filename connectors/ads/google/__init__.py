"""Google Ads through the Data Manager API: offline conversions with late verdicts."""

from connectors.ads.google.destination import GoogleDestination
from connectors.ads.google.settings import GoogleSettings

__all__ = ["GoogleDestination", "GoogleSettings"]
