"""Pipedrive: what changed in its deals, persons and leads, read by lists and changelogs; its webhooks as hints."""

from connectors.crm.pipedrive.settings import PipedriveSettings
from connectors.crm.pipedrive.source import PipedriveSource
from connectors.crm.pipedrive.webhook import parse_webhook

__all__ = ["PipedriveSettings", "PipedriveSource", "parse_webhook"]
