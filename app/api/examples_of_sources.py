"""Examples of the doors to sources."""

SOURCE: dict[str, object] = {
    "name": "hubspot",
    "kind": "hubspot",
    "mode": "live",
    "settings": {"write_back": "contact.leadloop_status"},
    "credentials": ["access_token", "webhook_secrets"],
}
SOURCE_BODIES = {
    "new": {
        "summary": "A HubSpot account by a private app's token",
        "value": {"kind": "hubspot", "settings": {"access_token": "the token of your private app"}},
    },
    "change": {
        "summary": "Other settings, the credentials as they are",
        "value": {"kind": "hubspot", "settings": {"write_back": "contact.leadloop_status"}, "mode": "live"},
    },
}
MODE_BODIES = {"pause": {"summary": "Let it stand still", "value": {"mode": "paused"}}}
CHECK: dict[str, object] = {
    "is_clean": True,
    "findings": [
        {"subject": "token", "status": "ok", "message": "the token is taken", "mend": ""},
        {"subject": "upload", "status": "unproven", "message": "only a conversion proves it", "mend": ""},
    ],
}
SCHEMA: dict[str, object] = {
    "account": "8812",
    "currency": "USD",
    "time_zone": "US/Eastern",
    "notices": [],
    "objects": {
        "contact": [
            {
                "name": "lifecyclestage",
                "label": "Lifecycle stage",
                "type": "enum",
                "options": [{"value": "salesqualifiedlead", "label": "Sales qualified lead"}],
            }
        ]
    },
    "pipelines": [
        {
            "id": "default",
            "label": "Sales",
            "object": "deal",
            "property": "dealstage",
            "stages": [{"id": "closedwon", "label": "Closed won", "probability": 1.0, "is_won": True, "is_lost": False}],
        }
    ],
}
SUGGESTION: dict[str, object] = {
    "document": {"milestones": [{"name": "lead", "when": [{"object": "contact", "created": True}]}], "consent": {}},
    "reasons": {"milestones[0]": "every contact is a lead"},
    "notices": [],
    "needs_consent": True,
}
BACKFILL: dict[str, object] = {
    "since": "2026-01-01T00:00:00Z",
    "share": 0.42,
    "is_done": False,
    "kinds": [{"object": "contact", "share": 0.84, "seen": 18000, "records": 17500, "conversions": 900, "error": None}],
}
BACKFILL_BODIES = {"year": {"summary": "This year", "value": {"since": "2026-01-01T00:00:00Z"}}}
PAST: dict[str, object] = {
    "since": "2026-09-01T00:00:00Z",
    "dry_run": True,
    "owed": 0,
    "destinations": {"google": [{"outcome": "sendable", "deliveries": 311, "sentence": "goes once you say so"}]},
}
PAST_BODIES = {
    "plan": {"summary": "Only tell", "value": {"since": "2026-09-01T00:00:00Z"}},
    "send": {"summary": "Make it owed", "value": {"since": "2026-09-01T00:00:00Z", "dry_run": False}},
}
