"""Worked examples of what is told of a destination's platform."""

API_VERSION: dict[str, object] = {
    "api": "Google Data Manager API",
    "version": "v1",
    "sunset": None,
    "state": "in_use",
    "message": None,
    "mend": None,
}

ROWS: dict[str, object] = {
    "most": 2000,
    "now": 500,
    "message": "The platform failed with larger requests, so that fewer rows go in one; it grows again by itself.",
    "mend": "nothing is to be done; where it stays small for days, look at the platform's status page",
}

SPEND: dict[str, object] = {
    "read_at": "2026-11-24T06:00:00Z",
    "error": None,
    "message": "The account's spend is read every six hours.",
    "mend": None,
}

UNKNOWN_CODE: dict[str, object] = {
    "code": "NEW_REFUSAL",
    "times": 4,
    "first_at": "2026-11-23T10:00:00Z",
    "last_at": "2026-11-24T10:00:00Z",
    "message": "Leadloop does not know this code of the platform: what it stopped is tried again with growing pauses.",
    "mend": "look it up in the platform's documentation and mend what it says; report the code, so that a release knows it",
}

DESTINATION: dict[str, object] = {
    "name": "google",
    "kind": "google",
    "mode": "live",
    "pause": None,
    "paused_targets": [
        {
            "target": {"conversion_action": "7302219958"},
            "code": "INVALID_CONVERSION_ACTION_TYPE",
            "since": "2026-11-24T10:00:00Z",
            "mend": "run `leadloop check` and follow what it says; a clean check ends the pause",
        }
    ],
    "differs_from_file": False,
    "rows_per_request_now": 2000,
    "milestone_modes": {"lead": "shadow"},
    "settings": {"account_id": "4812093377"},
    "credentials": ["service_account_json"],
    "limits": {
        "rows": 2000,
        "targets_per_request": 10,
        "requests_per_minute": 300,
        "age_with_click_days": 90,
        "age_without_click_days": 63,
        "click_age_days": None,
        "click_too_recent_hours": 24,
        "identifiers": ["email_sha256", "gclid", "phone_sha256"],
        "click_identifiers": ["gclid"],
        "sufficient": [["gclid"], ["email_sha256"], ["phone_sha256"]],
        "apart": [],
        "dedup": "forever",
        "dedup_window_days": None,
        "corrections": {"restates": True, "retracts": False, "after_hours": 24, "within_days": 55},
        "needs_value": False,
        "target_settings": ["conversion_action"],
        "send_when": "any",
    },
    "api_versions": [API_VERSION],
    "abilities": {"adjusts": True, "confirms": True, "spend": True, "provisions": True, "test_events": False},
}

DESTINATION_SETTINGS: dict[str, object] = {
    "name": "meta",
    "kind": "meta",
    "mode": "shadow",
    "settings": {"dataset_id": "1234567890123"},
    "credentials": ["access_token"],
}
DESTINATION_BODIES = {
    "new": {
        "summary": "A Meta dataset, at first only shown",
        "value": {
            "kind": "meta",
            "settings": {"dataset_id": "1234567890123", "access_token": "the token of a system user"},
            "mode": "shadow",
        },
    }
}
DESTINATION_MODE_BODIES = {
    "shadow": {"summary": "Only show what would be sent", "value": {"mode": "shadow"}},
    "milestone": {"summary": "Only one milestone", "value": {"mode": "shadow", "milestone": "qualified_lead"}},
}
CHECK_BODIES = {
    "plain": {"summary": "Only check", "value": {}},
    "test": {"summary": "And send a test event", "value": {"test_code": "TEST12345"}},
}
TESTED: dict[str, object] = {
    "is_clean": True,
    "findings": [
        {"subject": "token", "status": "ok", "message": "the token reaches the dataset", "mend": ""},
        {"subject": "upload", "status": "unproven", "message": "only an event proves it", "mend": "send a test event"},
    ],
}
