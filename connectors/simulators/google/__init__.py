"""Simulated Google Data Manager API (state of 2026-11): a Starlette app in front of an in-memory Google Ads."""

from connectors.simulators.google.app import Endpoint, create_google
from connectors.simulators.google.ledger import Key, Ledger, LedgerEntry, Outcome, Reception
from connectors.simulators.google.oauth import ADS_SCOPE, AUDIENCE, DATA_MANAGER_SCOPE, AccessToken, RefreshGrant, ServiceAccount
from connectors.simulators.google.platform import Behaviour, GooglePlatform
from connectors.simulators.google.quota import Quota
from connectors.simulators.google.refusals import PathStyle
from connectors.simulators.google.request import ClickKind, Consent
from connectors.simulators.google.status import RecordIndices
from connectors.simulators.google.world import Account, Click, ConversionAction, Counting, EnhancedConversions, Person

__all__ = [
    "ADS_SCOPE",
    "AUDIENCE",
    "DATA_MANAGER_SCOPE",
    "AccessToken",
    "Account",
    "Behaviour",
    "Click",
    "ClickKind",
    "Consent",
    "ConversionAction",
    "Counting",
    "Endpoint",
    "EnhancedConversions",
    "GooglePlatform",
    "Key",
    "Ledger",
    "LedgerEntry",
    "Outcome",
    "PathStyle",
    "Person",
    "Quota",
    "Reception",
    "RecordIndices",
    "RefreshGrant",
    "ServiceAccount",
    "create_google",
]
