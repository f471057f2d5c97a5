"""Examples of the doors to a person's own rights. The people are made up."""

from fastapi.openapi.models import Example

PERSON_BODIES: dict[str, Example] = {
    "record": {"summary": "By the CRM's record", "value": {"source": "hubspot", "ref": "contact:123"}},
    "e-mail": {"summary": "In every source", "value": {"email": "jane@example.com"}},
    "phone": {"value": {"phone": "020 7946 0018", "country": "GB"}},
    "form": {"summary": "By the id of a lead form", "value": {"lead_form_id": "1234567890123456"}},
}
FORGOTTEN: dict[str, object] = {
    "leads": 1,
    "records": 2,
    "deliveries_stopped": 1,
    "sent": [
        {
            "destination": "google",
            "platform": "google",
            "milestone": "qualified_lead",
            "state": "confirmed",
            "count": 1,
            "first_at": "2026-11-02T10:00:00Z",
            "last_at": "2026-11-02T10:00:00Z",
        }
    ],
}
EXPORTED: dict[str, object] = {
    "people": [
        {
            "source": "hubspot",
            "lead_id": 42,
            "records": [{"ref": "contact:123", "state": "live", "fields": {"email": "jane@example.com"}}],
            "identities": [{"id": 77, "identifiers": {"email_sha256": "8c87b489ce35cf2e2f39f80e282cb2e8..."}}],
            "history": {"conversions": [{"milestone": "qualified_lead", "occurred_at": "2026-11-02T09:00:00Z"}]},
        }
    ]
}
