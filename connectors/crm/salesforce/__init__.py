"""Salesforce: what changed in its CRM, read by SOQL in composites; signed JSON and Outbound Messages as hints."""

from connectors.crm.salesforce.settings import SalesforceSettings
from connectors.crm.salesforce.source import SalesforceSource
from connectors.crm.salesforce.webhook import acknowledge, parse_webhook

__all__ = ["SalesforceSettings", "SalesforceSource", "acknowledge", "parse_webhook"]
