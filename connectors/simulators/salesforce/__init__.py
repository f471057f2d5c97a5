"""Salesforce as of November 2026: an org in memory and the REST API over it."""

from connectors.simulators.disorder import Disorder
from connectors.simulators.salesforce.app import create_salesforce
from connectors.simulators.salesforce.catalogue import DEFAULT_STAGES, DEFAULT_STATUSES, Stage, Status
from connectors.simulators.salesforce.conversion import Converted
from connectors.simulators.salesforce.ids import long_id, make_id
from connectors.simulators.salesforce.org import Org, Written
from connectors.simulators.salesforce.sessions import JWT_GRANT, ConnectedApp
from connectors.simulators.salesforce.webhooks import JsonOutbox, SoapOutbox, WebhookRequest, sign, signed_json

__all__ = [
    "DEFAULT_STAGES",
    "DEFAULT_STATUSES",
    "JWT_GRANT",
    "ConnectedApp",
    "Converted",
    "Disorder",
    "JsonOutbox",
    "Org",
    "SoapOutbox",
    "Stage",
    "Status",
    "WebhookRequest",
    "Written",
    "create_salesforce",
    "long_id",
    "make_id",
    "sign",
    "signed_json",
]
