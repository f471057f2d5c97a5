"""Outbound Messages: SOAP with up to a hundred notifications, and the answer without which Salesforce sends it again (pure)."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.source import Hint, WebhookRefused, WebhookReply, WebhookRequest
from connectors.crm.salesforce.objects import KIND_BY_NAME, ROLE
from connectors.crm.salesforce.replies import is_record_id, long_id

BAD_REQUEST = 400
MOST_NOTIFICATIONS = 100
ORGANIZATION_PREFIX = "00D"

_SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
_OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
_OBJECT = "{urn:sobject.enterprise.soap.sforce.com}"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_XML_TYPES = ("text/xml", "application/xml", "application/soap+xml")

ACKNOWLEDGED = WebhookReply(
    200,
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>",
    "text/xml; charset=utf-8",
)


def is_outbound(request: WebhookRequest) -> bool:
    """True for XML, whatever the header says."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type in _XML_TYPES or request.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def is_organization(text: str) -> bool:
    """True for the id of an org."""
    return is_record_id(text) and text.startswith(ORGANIZATION_PREFIX)


def parse_outbound(body: bytes) -> tuple[Hint, ...] | WebhookRefused:
    """The records of a message's notifications. It carries no signature: the org and the address are all that speaks for it.

    The session id is never read. Notifications on other objects give no hint. One that came before gives the same hint again.
    """
    try:
        envelope = fromstring(body, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return WebhookRefused(BAD_REQUEST, "the body is no XML that may be read")
    message = envelope.find(f"{_SOAP}Body/{_OUTBOUND}notifications") if envelope.tag == f"{_SOAP}Envelope" else None
    if message is None:
        return WebhookRefused(BAD_REQUEST, "the body is no Outbound Message")
    organization = (message.findtext(f"{_OUTBOUND}OrganizationId") or "").strip()
    if not is_organization(organization):
        return WebhookRefused(BAD_REQUEST, "the Outbound Message names no OrganizationId")
    notifications = message.findall(f"{_OUTBOUND}Notification")
    if not 1 <= len(notifications) <= MOST_NOTIFICATIONS:
        return WebhookRefused(BAD_REQUEST, f"an Outbound Message has 1 to {MOST_NOTIFICATIONS} notifications")
    account = long_id(organization)
    return tuple(dict.fromkeys(Hint(ref, account) for one in notifications for ref in _refs(one)))


def _refs(notification: Element) -> Iterator[RecordRef]:
    """The record of a notification; a contact role stands for its deal."""
    changed = notification.find(f"{_OUTBOUND}sObject")
    if changed is None:
        return
    name = changed.get(_TYPE, "").rpartition(":")[2]
    is_role = name == ROLE
    kind = ObjectKind.DEAL if is_role else KIND_BY_NAME.get(name.lower())
    own_id = (changed.findtext(f"{_OBJECT}{'OpportunityId' if is_role else 'Id'}") or "").strip()
    if kind is not None and is_record_id(own_id):
        yield RecordRef(kind, long_id(own_id))
