"""Pipedrive's rows in our words: money, options, addresses, links, in the shapes of v2 and v1."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.contract.errors import UnexpectedReply
from connectors.contract.records import ObjectKind, RecordRef
from connectors.contract.selection import ObjectSelection
from connectors.crm.pipedrive.records import field_of, record_of
from tests.wire.pipedrive.fake_company import CONSENT, GCLID, lead_id

DEAL, CONTACT, LEAD = ObjectKind.DEAL, ObjectKind.CONTACT, ObjectKind.LEAD


@pytest.mark.parametrize(
    ("row", "value", "currency"),
    [
        ({"value": 1200.5, "currency": "EUR"}, "1200.5", "EUR"),
        ({"value": 1200.0, "currency": "EUR"}, "1200", "EUR"),
        ({"value": 1e15, "currency": "EUR"}, "1000000000000000", "EUR"),
        ({"value": 0, "currency": "EUR"}, None, "EUR"),
        ({"value": 0.0, "currency": "EUR"}, None, "EUR"),
        ({"value": None, "currency": "EUR"}, None, "EUR"),
        ({"value": -5, "currency": "EUR"}, "-5", "EUR"),
        ({"value": 100, "currency": "USERS"}, None, None),
        ({"value": 100, "currency": "PTS"}, None, None),
        ({"value": 100}, "100", None),
    ],
)
def test_money_of_a_deal(row: dict[str, Any], value: str | None, currency: str | None) -> None:
    """0 is Pipedrive's empty; an amount in a unit of the company's own must not be taken for the account's currency."""
    assert field_of(DEAL, row, "value") == value
    assert field_of(DEAL, row, "currency") == currency


def test_money_of_a_lead() -> None:
    """A lead's value is an object or null."""
    row = {"value": {"amount": 70, "currency": "USD"}}

    assert (field_of(LEAD, row, "value"), field_of(LEAD, row, "currency")) == ("70", "USD")
    assert field_of(LEAD, {"value": None}, "value") is None
    assert field_of(LEAD, {"value": {"amount": 70, "currency": "USERS"}}, "value") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("IwAR0", "IwAR0"),
        (7, "7"),
        (2.5, "2.5"),
        (True, "true"),
        ({"id": 12, "label": "Yes"}, "12"),
        ([12, 3], "3,12"),
        ([{"id": 12, "label": "A"}, {"id": 3, "label": "B"}], "3,12"),
        ([], None),
        ({"value": 50, "currency": "EUR"}, "50"),
        ({"value": 50, "currency": "SEATS"}, None),
        ({"value": "1 Main St", "country": "US"}, "1 Main St"),
    ],
)
def test_custom_fields_of_version_2(value: Any, text: str | None) -> None:
    """Nested under `custom_fields`; an option by its id, several ids in order."""
    assert field_of(DEAL, {"custom_fields": {GCLID: value}}, GCLID) == text


def test_parts_of_custom_fields() -> None:
    """The currency of an amount and the country of an address are properties of their own."""
    row = {"custom_fields": {GCLID: {"value": 50, "currency": "EUR"}, CONSENT: {"value": "x", "country": "DE"}}}

    assert field_of(DEAL, row, f"{GCLID}.currency") == "EUR"
    assert field_of(DEAL, row, f"{CONSENT}.country") == "DE"
    assert field_of(DEAL, row, f"{CONSENT}.locality") is None
    assert field_of(DEAL, {"custom_fields": {}}, f"{'f' * 40}.currency") is None


def test_custom_fields_of_leads_stand_beside_the_others() -> None:
    """Version 1 is flat, and leaves out what is empty."""
    row = {GCLID: 50, f"{GCLID}_currency": "EUR", CONSENT: "11"}

    assert (field_of(LEAD, row, GCLID), field_of(LEAD, row, f"{GCLID}.currency")) == ("50", "EUR")
    assert field_of(LEAD, row, CONSENT) == "11"
    assert field_of(LEAD, {**row, f"{CONSENT}_country": "DE"}, f"{CONSENT}.country") == "DE"
    assert field_of(LEAD, row, "c" * 40) is None
    assert field_of(LEAD, {**row, f"{GCLID}_currency": "SEATS"}, GCLID) is None


@pytest.mark.parametrize(
    ("emails", "found"),
    [
        ([{"value": "a@x.example", "primary": False}, {"value": "b@x.example", "primary": True}], "b@x.example"),
        ([{"value": "", "primary": True}, {"value": "c@x.example", "primary": False}], "c@x.example"),
        ([{"value": " d@x.example ", "primary": True}], "d@x.example"),
        ([{"value": "", "primary": True}], None),
        ([], None),
        (None, None),
    ],
)
def test_the_primary_address_counts_and_empty_ones_do_not(emails: Any, found: str | None) -> None:
    """Pipedrive keeps an empty text where an address was taken out."""
    assert field_of(CONTACT, {"emails": emails}, "email") == found
    assert field_of(CONTACT, {"phones": emails}, "phone") == found


def test_postal_address_parts() -> None:
    """Only there with contact sync."""
    row = {"postal_address": {"country": "US", "postal_code": "94085", "locality": None}}

    assert field_of(CONTACT, row, "postal_address.postal_code") == "94085"
    assert field_of(CONTACT, row, "postal_address.locality") is None
    assert field_of(CONTACT, {}, "postal_address.country") is None


def test_instants_are_cut_to_seconds_but_the_modification() -> None:
    """Leads tell milliseconds; only they order two readings."""
    row = {"id": lead_id(1), "add_time": "2026-11-20T11:00:00.551Z", "update_time": "2026-11-20T11:00:01.552Z"}

    record = record_of(LEAD, row, ObjectSelection())

    assert record.created_at == datetime(2026, 11, 20, 11, tzinfo=UTC)
    assert record.modified_at == datetime(2026, 11, 20, 11, 0, 1, 552_000, tzinfo=UTC)


def test_links_written_as_objects_are_read_too() -> None:
    """Some answers of version 1 wrap a linked id."""
    row = {"id": 1, "add_time": "2026-11-20T11:00:00Z", "person_id": {"value": 5, "name": "x"}, "org_id": 0}

    record = record_of(DEAL, row, ObjectSelection())

    assert record.people is not None
    assert [link.ref for link in record.people] == [RecordRef(CONTACT, "5")]
    assert record.company is None


@pytest.mark.parametrize(
    "row",
    [
        {"id": None, "add_time": "2026-11-20T11:00:00Z"},
        {"id": 1},
        {"id": 1, "add_time": "2026-11-20T11:00:00Z", "person_id": "x"},
        {"id": 1, "add_time": "2026-11-20T11:00:00Z", "custom_fields": []},
        {"id": 1, "add_time": "2026-11-20T11:00:00Z", "custom_fields": {GCLID: [[1]]}},
    ],
)
def test_garbage_names_the_place_and_no_value(row: dict[str, Any]) -> None:
    """An error is logged; a person's data must not be in it."""
    chosen = ObjectSelection(frozenset({GCLID}))
    if row.get("custom_fields") == []:
        row = {**row, "custom_fields": ["secret"]}

    with pytest.raises(UnexpectedReply, match="not as documented") as caught:
        record_of(DEAL, row, chosen)

    assert "secret" not in str(caught.value)


def test_fields_stay_out_of_the_repr() -> None:
    """They are personal data."""
    row = {"id": 1, "add_time": "2026-11-20T11:00:00Z", "emails": [{"value": "jane@x.example", "primary": True}]}

    assert "jane" not in repr(record_of(CONTACT, row, ObjectSelection(frozenset({"email"}))))
