"""What is legal but unwise is told once, where it stands, and nothing else is."""

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from app.mapping.document import parse_document
from app.mapping.warnings import LEAST_LEADS, Delay, warnings_of
from connectors.registry import DESTINATIONS

PLATFORMS = {name: one.limits for name, one in DESTINATIONS.items()}
WISE: dict[str, Any] = {
    "identity": {
        "email": ["contact.email"],
        "phone": ["contact.phone"],
        "country": ["contact.country"],
        "gclid": ["contact.gclid"],
        "li_fat_id": ["contact.li_fat_id"],
        "msclkid": ["contact.msclkid"],
    },
    "consent": {"ad_user_data": {"field": "contact.ok", "granted": ["yes"]}, "where_required": ["EEA"]},
    "exclude": [{"field": "contact.email", "op": "ends_with", "value": "@us.example"}],
    "milestones": [
        {"name": "lead", "when": [{"object": "contact", "created": True}]},
        {
            "name": "qualified_lead",
            "when": [{"object": "contact", "property": "stage", "enters": ["sql"]}],
            "value": {"model": "fixed", "amount": 50, "currency": "USD"},
        },
        {
            "name": "closed_revenue",
            "when": [{"object": "deal", "property": "stage", "enters": ["won"]}],
            "value": {"model": "field", "field": "deal.amount"},
        },
    ],
    "destinations": {
        "google": {"qualified_lead": {"conversion_action": "1"}, "closed_revenue": {"conversion_action": "2"}},
        "linkedin": {"qualified_lead": {"conversion_rule": "1"}},
        "microsoft": {"qualified_lead": {"goal": "Qualified"}},
    },
}


def told(delays: dict[str, Delay] | None = None, **changes: Any) -> list[tuple[str, str]]:
    """Path and message of each warning of the wise document with these parts in place of its own."""
    document = parse_document({**deepcopy(WISE), **changes})
    return [(one.path, one.message) for one in warnings_of(document, PLATFORMS, delays)]


def identity(**changes: Any) -> dict[str, Any]:
    return {name: field for name, field in {**WISE["identity"], **changes}.items() if field}


def test_a_wise_document_has_none() -> None:
    """Whoever is warned in vain stops reading."""
    assert told() == []


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"identity": identity(gclid=None)}, "destinations.google", "no `gclid` or `gbraid` or `wbraid` is mapped"),
        ({"identity": identity(li_fat_id=None)}, "destinations.linkedin", "no `li_fat_id` or `linkedin_lead_id` is mapped"),
        ({"identity": identity(msclkid=None)}, "destinations.microsoft", "nothing is sent"),
        ({"identity": identity(country=None, default_country="US")}, "consent.where_required", "all are asked for it"),
        (
            {"consent": {**WISE["consent"], "not_required": True, "because": "a contract"}},
            "consent.not_required",
            "is not looked at",
        ),
        (
            {"exclude": [{"field": "contact.country", "op": "not_in", "value": ["US"]}]},
            "exclude[0]",
            "also true where `contact.country` is empty",
        ),
        (
            {"exclude": [{"not": {"field": "contact.country", "op": "eq", "value": "US"}}]},
            "exclude[0]",
            "also true where `contact.country` is empty",
        ),
        ({"destinations": {"google": {"lead": None}}}, "destinations.google", "names no target"),
        ({"destinations": {"google": {"lead": {"conversion_action": "1"}}}}, "milestones[0]", "goes to google without a value"),
        (
            {
                "destinations": {
                    "google": {"qualified_lead": {"conversion_action": "1"}, "closed_revenue": {"conversion_action": "1"}}
                }
            },
            "destinations.google.closed_revenue",
            "has the target of `qualified_lead`",
        ),
    ],
)
def test_what_is_unwise_is_told_where_it_stands(changes: dict[str, Any], path: str, words: str) -> None:
    """One warning for one thing, at the place that must be changed."""
    (found,) = told(**changes)

    assert found[0] == path
    assert words in found[1]


def test_phones_that_nobody_can_read_are_told() -> None:
    """National numbers need a country from somewhere."""
    consent = {"ad_user_data": WISE["consent"]["ad_user_data"]}

    found = told(identity=identity(country=None), consent=consent)
    mended = told(identity=identity(country=None, default_country="US"), consent=consent)

    assert [path for path, _ in found] == ["identity.phone"]
    assert mended == []


def test_an_identity_of_which_a_platform_takes_nothing_sends_nothing() -> None:
    """A name alone finds nobody."""
    found = told(identity={"country": "contact.country", "first_name": "contact.name"}, destinations={"google": {"lead": "1"}})

    assert any(path == "destinations.google" and "nothing of `identity` suffices there" in said for path, said in found)


@pytest.mark.parametrize(
    "exclude",
    [
        {"all": [{"field": "contact.country", "op": "is_set"}, {"field": "contact.country", "op": "ne", "value": "US"}]},
        {"field": "contact.country", "op": "is_empty"},
        {"points": [{"field": "contact.score", "op": "lt", "value": 3, "points": 5}], "threshold": 5},
    ],
)
def test_whoever_thought_of_empty_fields_is_not_warned(exclude: dict[str, Any]) -> None:
    """The mend that the warning names ends it."""
    assert told(exclude=[exclude]) == []


@pytest.mark.parametrize(
    ("days", "leads", "is_told"), [(120, LEAST_LEADS, True), (120, LEAST_LEADS - 1, False), (90, 500, False), (20, 500, False)]
)
def test_a_funnel_that_is_slower_than_the_platform_allows_is_told(days: int, leads: int, is_told: bool) -> None:  # noqa: FBT001 a case
    """Deals that close after the platform has forgotten the click are lost to it; a handful of leads proves nothing."""
    found = told({"closed_revenue": Delay(timedelta(days=days), leads)})

    assert [path for path, _ in found] == (["destinations.google.closed_revenue"] if is_told else [])
