"""Examples of the doors to mappings."""

DOCUMENT: dict[str, object] = {
    "identity": {"email": ["contact.email"], "gclid": ["contact.hs_google_click_id"]},
    "consent": {"ad_user_data": {"field": "contact.ads_consent", "granted": ["yes"]}},
    "milestones": [
        {"name": "lead", "when": [{"object": "contact", "created": True}]},
        {
            "name": "qualified_lead",
            "when": [{"object": "contact", "property": "lifecyclestage", "enters": ["salesqualifiedlead"]}],
            "value": {"model": "fixed", "amount": 50, "currency": "USD"},
        },
    ],
    "destinations": {"google": {"qualified_lead": {"conversion_action": "7302219941"}}},
}
_SUMMARY: dict[str, object] = {
    "version": 3,
    "created_at": "2026-11-24T10:00:00Z",
    "created_by": "key llk_5f0c0a5b",
    "activated_at": "2026-11-24T10:05:00Z",
    "is_active": True,
    "is_of_file": False,
}
VERSION: dict[str, object] = {**_SUMMARY, "document": DOCUMENT}
ACTIVE: dict[str, object] = {**VERSION, "differs_from_file": False}
CHECKED: dict[str, object] = {
    "warnings": [
        {
            "path": "document.consent.where_required",
            "message": "`identity.country` is not mapped, and a country that is not known ...",
        }
    ]
}
SAVED: dict[str, object] = {**VERSION, "activated_at": None, "is_active": False, "warnings": []}
VERSION_PAGE: dict[str, object] = {"items": [_SUMMARY], "next": None}
VERSION_BODIES = {
    "store": {"summary": "Store it", "value": {"document": DOCUMENT}},
    "check": {"summary": "Only check it", "value": {"document": DOCUMENT, "dry_run": True}},
}
DIFF: dict[str, object] = {
    "version": 3,
    "against": 2,
    "changes": [{"path": "milestones[qualified_lead].value.amount", "before": 40, "after": 50}],
}
ACTIVATED: dict[str, object] = {"version": 3, "before": 2, "reads_more": {"contact": 18211}}
