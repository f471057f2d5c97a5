"""Examples of the doors to ad spend."""

_ROW: dict[str, object] = {
    "platform": "google",
    "campaign_id": "21400000013",
    "day": "2026-11-23",
    "cost": "412.50",
    "currency": "USD",
    "campaign_name": "Search: our name",
    "clicks": 310,
    "impressions": 9120,
}
SPEND_PAGE: dict[str, object] = {
    "items": [{**_ROW, "destination": "google", "read_at": "2026-11-24T06:00:00Z"}],
    "next": None,
}
SPEND_BODIES = {"day": {"summary": "A day of a campaign that no platform reports", "value": {"rows": [_ROW]}}}
SPEND_SAVED: dict[str, object] = {"rows": 1, "first_day": "2026-11-23", "last_day": "2026-11-23"}
