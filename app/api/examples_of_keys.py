"""Examples of the doors to keys and the audit log."""

KEY = {
    "prefix": "llk_5f0c0a5b",
    "role": "operator",
    "created_at": "2026-11-24T10:00:00Z",
    "expires_at": "2027-11-24T10:00:00Z",
    "revoked_at": None,
    "last_used_at": "2026-11-24T10:05:00Z",
}
NEW_KEY = {**KEY, "last_used_at": None, "key": "llk_5f0c0a5b" + "0" * 8 + "..."}
KEY_BODIES = {
    "operator": {"summary": "For a year", "value": {"role": "operator", "expires_at": "2027-11-24T10:00:00Z"}},
    "viewer": {"summary": "Until it is revoked", "value": {"role": "viewer"}},
}
AUDIT_PAGE = {
    "items": [
        {
            "at": "2026-11-24T10:00:00Z",
            "actor": "key of the environment",
            "action": "key.create",
            "subject": "llk_5f0c0a5b",
            "detail": {"role": "operator", "expires_at": "2027-11-24T10:00:00+00:00"},
        }
    ],
    "next": None,
}
