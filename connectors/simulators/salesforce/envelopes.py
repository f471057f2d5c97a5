"""The XML of outbound messages: the envelope that is sent, and the one answer that counts."""

from collections.abc import Sequence
from html import escape

from defusedxml.ElementTree import ParseError, fromstring

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
OUTBOUND = "http://soap.sforce.com/2005/09/outbound"
SOBJECT = "urn:sobject.enterprise.soap.sforce.com"
_SCHEMA = "http://www.w3.org/2001/XMLSchema"
_API = "67.0"

Notification = tuple[str, Sequence[tuple[str, object]]]  # id, and the values by field


def envelope(
    org_id: str, action_id: str, base_url: str, name: str, notifications: Sequence[Notification], session: str | None
) -> bytes:
    """The body of one message."""
    sent = "".join(_notification(name, one) for one in notifications)
    session_id = '<SessionId xsi:nil="true"/>' if session is None else f"<SessionId>{escape(session)}</SessionId>"
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soapenv:Envelope xmlns:soapenv="{SOAP}" xmlns:xsd="{_SCHEMA}" xmlns:xsi="{_SCHEMA}-instance">\n'
        " <soapenv:Body>\n"
        f'  <notifications xmlns="{OUTBOUND}">\n'
        f"   <OrganizationId>{org_id}</OrganizationId>\n"
        f"   <ActionId>{action_id}</ActionId>\n"
        f"   {session_id}\n"
        f"   <EnterpriseUrl>{base_url}/services/Soap/c/{_API}/{org_id[:15]}</EnterpriseUrl>\n"
        f"   <PartnerUrl>{base_url}/services/Soap/u/{_API}/{org_id[:15]}</PartnerUrl>\n"
        f"{sent}"
        "  </notifications>\n"
        " </soapenv:Body>\n"
        "</soapenv:Envelope>"
    )
    return text.encode()


def is_acknowledged(body: bytes) -> bool:
    """Whether a body is the Ack: Envelope/Body/notificationsResponse/Ack with `true`, in the right namespaces."""
    try:
        root = fromstring(body)
    except (ParseError, ValueError):
        return False
    path = f"{{{SOAP}}}Body/{{{OUTBOUND}}}notificationsResponse/{{{OUTBOUND}}}Ack"
    found = root.findall(path)
    return root.tag == f"{{{SOAP}}}Envelope" and [one.text for one in found] == ["true"]


def _notification(name: str, notification: Notification) -> str:
    notification_id, values = notification
    fields = "".join(f"     <sf:{one}>{_text(value)}</sf:{one}>\n" for one, value in values if value is not None)
    return (
        "   <Notification>\n"
        f"    <Id>{notification_id}</Id>\n"
        f'    <sObject xsi:type="sf:{name}" xmlns:sf="{SOBJECT}">\n'
        f"{fields}"
        "    </sObject>\n"
        "   </Notification>\n"
    )


def _text(value: object) -> str:
    return escape(str(value), quote=False)
