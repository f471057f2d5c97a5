"""Examples of the doors that preview and reapply."""

_USD = [{"amount_micros": 6_000_000_000, "currency": "USD"}]
PREVIEW: dict[str, object] = {
    "version": 4,
    "against": 3,
    "origin": "stored",
    "records": 2000,
    "is_whole": False,
    "active_since": "2026-11-01T00:00:00Z",
    "restates": False,
    "reads_more": [],
    "milestones": [
        {
            "name": "qualified_lead",
            "is_mapped": True,
            "before": 120,
            "after": 163,
            "new": 43,
            "revalued": 0,
            "ended": 0,
            "worth_before": _USD,
            "worth_after": [{"amount_micros": 8_150_000_000, "currency": "USD"}],
        }
    ],
    "destinations": [
        {
            "name": "google",
            "sendable": 31,
            "waits": {"too_recent": 2},
            "stopped": {"no_consent": 6, "before_start": 4},
            "restates": 0,
            "retracts": 0,
            "people": 1411,
            "identifiers": {"gclid": 590, "email_sha256": 1398, "phone_sha256": 902},
        }
    ],
    "samples": [
        {
            "ref": "contact:4711",
            "milestone": "qualified_lead",
            "occurred_at": "2026-11-21T09:30:00Z",
            "fate": "new",
            "is_implied": False,
            "why": "lifecyclestage became salesqualifiedlead",
            "value": {"amount_micros": 50_000_000, "currency": "USD"},
            "value_why": "fixed at 50 USD",
            "excluded": "",
            "destinations": {"google": "sendable"},
        }
    ],
}
PREVIEW_BODIES = {
    "stored": {"summary": "What is stored, else the CRM's last two weeks", "value": {}},
    "crm": {"summary": "The CRM's own records of the last month", "value": {"origin": "crm", "days": 30}},
    "restates": {"summary": "As a reapply with restatements would do", "value": {"restates": True}},
}
REAPPLY: dict[str, object] = {
    "version": 4,
    "restates": False,
    "requested_by": "key llk_5f0c0a5b",
    "requested_at": "2026-11-24T10:06:00Z",
    "done_at": None,
    "given_up": None,
    "seen": 12500,
    "conversions": 301,
    "revalued": 0,
    "ended": 0,
    "deliveries": 289,
}
REAPPLY_BODIES = {
    "plain": {"summary": "Count what the version finds", "value": {}},
    "restates": {"summary": "And correct values that were sent", "value": {"restates": True}},
}
