"""Examples of the door to learnt values."""

_WHOLE: dict[str, object] = {
    "leads": 6711,
    "won": 4238,
    "lost": 2473,
    "chance": "0.631500",
    "average_micros": 1490915523,
    "won_micros": 2360909084,
}
LEARNT: dict[str, object] = {
    "source": "hubspot",
    "fit": {"version": 41, "fitted_at": "2026-11-24T02:00:00Z", "mapping_version": 3},
    "milestones": [
        {
            "milestone": "opportunity",
            "model": "predicted",
            "by": ["product"],
            "currency": "USD",
            "why_fallback": None,
            "unconverted": 0,
            "unvalued": 0,
            "whole": _WHOLE,
            "segments": [
                {**_WHOLE, "of": {"product": "GTX Basic"}, "leads": 1436, "won": 915, "lost": 521, "chance": "0.637011"}
            ],
        }
    ],
}
