"""Worked examples of the contract: what goes in and what comes out. The people and ids are made up."""

from fastapi.openapi.models import Example

from app.api.examples_of_platforms import API_VERSION, ROWS, SPEND, UNKNOWN_CODE

UID = "llq3v7c2m5k4x6t2b7wz5d3hja2"
AT = "2026-11-24T10:00:00Z"

DELIVERY_PAGE: dict[str, object] = {
    "items": [
        {
            "id": 4711,
            "conversion_id": UID,
            "milestone": "closed_revenue",
            "source": "hubspot",
            "destination": "google",
            "kind": "upload",
            "seq": 0,
            "state": "rejected",
            "reason": "refused",
            "sentence": "The platform refuses it for good; see its code.",
            "code": "INVALID_CONVERSION_ACTION_TYPE",
            "target": {"conversion_action": "7302219958"},
            "tries": 1,
            "value": {"amount": "1200.00", "currency": "USD"},
            "occurred_at": AT,
            "created_at": AT,
            "due_at": None,
            "deadline_at": "2027-02-22T10:00:00Z",
            "settled_at": AT,
            "trace": f"/v1/leads/{UID}/trace?source=hubspot",
        }
    ],
    "next": "WzQ3MTFd",
}

REPLAY_BODIES: dict[str, Example] = {
    "look first": {
        "summary": "What would a replay of everything that Google rejected do?",
        "value": {"filter": {"state": ["rejected"], "destination": "google"}, "dry_run": True},
    },
    "after mending": {
        "summary": "The mapping now reads one more e-mail field: judge again who had no identifier",
        "value": {"filter": {"state": ["skipped"], "reason": ["no_identifier"]}},
    },
    "decide": {
        "summary": "The platform's own report shows this one: count it as sent",
        "value": {"ids": [4711], "resolution": "count_as_sent"},
    },
}

REPLAY_REPORT: dict[str, object] = {
    "dry_run": True,
    "examined": 120,
    "reopened": 117,
    "counted_as_sent": 0,
    "stayed": [{"why": "too_old", "sentence": "The platform no longer takes an event of its age.", "count": 3}],
    "next": None,
}

TRACE: dict[str, object] = {
    "source": "hubspot",
    "source_kind": "hubspot",
    "lead": {
        "id": 42,
        "created_at": AT,
        "identifiers": ["email_sha256", "gclid"],
        "consent": {"ad_user_data": "granted", "ad_personalization": "granted"},
        "consent_why": "ad_user_data is granted by contact.ads_consent",
        "country": "US",
        "clicked_at": AT,
        "platform": "google",
        "campaign_id": "21400000013",
        "utm_campaign": None,
        "dimensions": {"country": "US"},
    },
    "answers": [{"destination": "google", "line": "qualified_lead sent (confirmed); closed_revenue not reached (condition)"}],
    "keys": [
        {
            "ref": "contact:123",
            "state": "live",
            "merged_into": None,
            "pipeline": None,
            "stage": "salesqualifiedlead",
            "stage_label": "Sales Qualified Lead",
            "company": None,
            "labels": [],
            "is_primary": False,
            "created_at": AT,
            "modified_at": AT,
            "url": "https://app.hubspot.com/contacts/62515/record/0-1/123",
            "company_url": None,
        }
    ],
    "entries": [
        {
            "ref": "contact:123",
            "property": "lifecyclestage",
            "value": "salesqualifiedlead",
            "label": "Sales Qualified Lead",
            "pipeline": None,
            "entered_at": AT,
            "origin": "history",
            "is_approximate": False,
        }
    ],
    "conversions": [
        {
            "uid": UID,
            "milestone": "qualified_lead",
            "scope": "person:123",
            "occurrence": 0,
            "ref": "contact:123",
            "lead_id": 42,
            "occurred_at": AT,
            "is_implied": False,
            "is_live": True,
            "mapping_version": 3,
            "explain": "contact.lifecyclestage entered salesqualifiedlead",
            "money": {"amount": "50.00", "currency": "USD"},
            "nominal": None,
            "value_state": "ready",
            "value_why": "fixed 50 USD",
            "valuations": [],
            "duplicate_of": None,
            "ended_at": None,
            "ended_why": None,
            "ended_sentence": None,
            "deliveries": [
                {
                    "id": 4711,
                    "destination": "google",
                    "kind": "upload",
                    "seq": 0,
                    "state": "confirmed",
                    "reason": "confirmed",
                    "sentence": "The platform recorded it. Nothing is to do.",
                    "checks": [],
                    "code": None,
                    "target": '{"conversion_action":"7302219941"}',
                    "try_count": 2,
                    "tries": [{"n": 1, "at": AT, "outcome": "retry", "code": "INTERNAL", "message": "try later"}],
                    "person": "contact:123",
                    "person_why": "the only person",
                    "is_frozen": True,
                    "sent": {"amount": "50.00", "currency": "USD"},
                    "created_at": AT,
                    "deadline_at": "2027-02-22T10:00:00Z",
                    "settled_at": AT,
                    "next_step": None,
                }
            ],
        }
    ],
    "unreached": [
        {
            "milestone": "closed_revenue",
            "code": "condition",
            "sentence": "Its condition does not hold, see which comparison fails. It is judged again when a record changes.",
            "ref": "deal:9",
            "entered_at": AT,
            "detail": "deal.dealstage entered closedwon; deal.dealtype eq newbusiness",
            "checks": [{"path": "all[0]", "text": "deal.dealtype eq newbusiness", "holds": False, "note": "the field is empty"}],
        }
    ],
    "account": None,
}

FIND_BODIES: dict[str, Example] = {
    "e-mail": {"value": {"email": "jane@example.com"}},
    "phone": {"value": {"phone": "020 7946 0018", "country": "GB"}},
    "record": {"value": {"source": "hubspot", "ref": "contact:123"}},
    "platform's id": {"value": {"platform_id": UID}},
}

FOUND: list[dict[str, object]] = [
    {"source": "hubspot", "lead_id": 42, "refs": ["contact:123"], "trace": "/v1/leads/42/trace?source=hubspot"}
]

RUN_PAGE: dict[str, object] = {
    "items": [
        {
            "id": 99,
            "kind": "drain",
            "source": None,
            "destination": "google",
            "state": "done",
            "started_at": AT,
            "ended_at": AT,
            "counts": {"sent": 120, "accepted": 118, "rejected": 2, "stopped": 4, "requests": 1},
            "error": None,
        }
    ],
    "next": None,
}

STATUS: dict[str, object] = {
    "version": "0.1.0",
    "now": AT,
    "database": "postgresql",
    "clock_skew_ms": 3,
    "sources": [
        {
            "name": "hubspot",
            "kind": "hubspot",
            "mode": "live",
            "pause": None,
            "mapping_version": 3,
            "differs_from_file": False,
            "mapping_differs_from_file": False,
            "hints_waiting": 0,
            "polls": [{"object": "deal", "read_to": AT, "is_reading": False, "next_poll_at": "2026-11-24T10:05:00Z"}],
            "webhooks": {
                "events": 1204,
                "last_at": AT,
                "found_by_poll": 0,
                "found_by_poll_in_all": 7,
                "silent_since": None,
                "message": None,
                "mend": None,
                "subscribed_at": None,
                "subscription_error": None,
            },
            "backfill": [
                {
                    "object": "deal",
                    "since": "2025-01-01T00:00:00Z",
                    "share": 0.42,
                    "seen": 126000,
                    "records": 124312,
                    "conversions": 31078,
                    "moved_at": AT,
                    "failed": None,
                }
            ],
            "webhook_url": "https://leads.example.com/webhooks/hubspot/9sB...",
        }
    ],
    "destinations": [
        {
            "name": "google",
            "kind": "google",
            "mode": "live",
            "pause": {"reason": "UNAUTHENTICATED", "until": None, "mend": "run `leadloop check` and follow what it says"},
            "differs_from_file": False,
            "paused_targets": [],
            "owed": {"due": 12, "waiting": 3, "oldest_due_at": AT, "counted_to": 100000},
            "failed_last_day": {"rejected": 2},
            "rows": ROWS,
            "api_versions": [API_VERSION],
            "spend": SPEND,
            "unknown_codes": [UNKNOWN_CODE],
        }
    ],
    "jobs": [{"name": "tick", "due_at": AT, "ran_at": AT, "failed": None}],
}
