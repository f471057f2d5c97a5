"""Examples of the doors to reports."""

_COUNT = {"people": 166, "implied": 0, "ended": 0, "duplicates": 1}
_METRICS = {
    "cost_per_lead": "62.373614",
    "cost_per_qualified_lead": "136.238158",
    "cost_per_opportunity": "161.782656",
    "cost_per_customer": "575.227222",
    "lead_value": "257.680723",
    "roas": "4.131208",
    "qualified_rate": "0.457831",
    "opportunity_rate": "0.842105",
    "customer_rate": "0.281250",
    "close_rate": "0.108434",
    "disqualified_rate": "0.042169",
}
_TOTAL: dict[str, object] = {
    "platform": None,
    "campaign_id": None,
    "campaign_name": None,
    "value": None,
    "is_rest": False,
    "milestones": {"lead": _COUNT, "qualified_lead": {**_COUNT, "people": 76}},
    "spend": {"amount": "10354.09", "currency": "USD", "apart": []},
    "revenue": {"amount": "42775.00", "currency": "USD", "apart": []},
    "clicks": 4120,
    "impressions": 99880,
    "won_without_amount": 0,
    "median_days_to_customer": "62.200000",
    "metrics": _METRICS,
}
FUNNEL: dict[str, object] = {
    "base": "cohort",
    "since": "2026-08-26",
    "until": "2026-11-24",
    "by": None,
    "currency": "USD",
    "steps": {
        "lead": "lead",
        "qualified": "qualified_lead",
        "opportunity": "opportunity",
        "customer": "closed_revenue",
        "disqualified": "disqualified",
    },
    "rows": [],
    "total": _TOTAL,
    "about": "Everyone created in the CRM from 2026-08-26 to 2026-11-24, counted once, with all that became of them until now.",
    "notes": [],
}
CAMPAIGNS: dict[str, object] = {
    **FUNNEL,
    "by": "campaign",
    "rows": [
        {**_TOTAL, "platform": "google", "campaign_id": "21400000012", "campaign_name": "Search: sales software"},
    ],
}
_BOOK: dict[str, object] = {
    "milestone": "closed_revenue",
    "destination": "meta",
    "day": None,
    "found": 12,
    "is_balanced": True,
    "uploads": {"accepted": {"delivered": 10}, "skipped": {"no_consent": 2}},
    "corrections": {"retract": {"skipped": {"unsupported": 1}}},
}
BOOKS: dict[str, object] = {
    "since": "2026-08-26",
    "until": "2026-11-24",
    "is_balanced": True,
    "imbalances": [],
    "differences": [
        {
            "milestone": "closed_revenue",
            "destination": "meta",
            "conversions": 1,
            "platform_counts": 1,
            "crm_has": 0,
            "platform_value": {"amount": "4200.00", "currency": "EUR"},
            "crm_value": {"amount": "0.00", "currency": "EUR"},
        }
    ],
    "overstated": [
        {
            "destination": "meta",
            "leads": 3,
            "value": {"amount": "860.00", "currency": "EUR"},
            "leads_in_several_currencies": 0,
        }
    ],
    "totals": [_BOOK],
    "rows": [{**_BOOK, "day": "2026-11-20"}],
}
