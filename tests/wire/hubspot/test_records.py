"""HubSpot's JSON becomes records and entries (pure)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.contract.errors import UnexpectedReply
from connectors.contract.records import ObjectKind, Record
from connectors.contract.selection import ObjectSelection
from connectors.crm.hubspot.records import histories_to_read, record_of
from tests.wire.hubspot.fake_account import iso, moment, ms

START = datetime(2026, 11, 1, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STAGES = ObjectSelection(frozenset({"amount", "dealstage"}), frozenset({"dealstage"}))


def deal(properties: dict[str, Any] | None = None, **histories: list[dict[str, Any]]) -> Record:
    values = {"hs_lastmodifieddate": iso(START), "pipeline": "sales", **(properties or {})}
    return record_of(ObjectKind.DEAL, {"id": "7", "properties": values, "propertiesWithHistory": histories}, STAGES)


def told(record: Record) -> list[tuple[str, datetime, str | None]]:
    return [(entry.value, entry.entered_at, entry.pipeline) for entry in record.entries]


def test_each_stage_names_the_pipeline_of_its_instant() -> None:
    """Stage ids are unique only within a pipeline; today's pipeline would put old stages into the wrong one."""
    record = deal(
        {"pipeline": "partners"},
        dealstage=[moment("won", START + 9 * MINUTE), moment("new", START + 5 * MINUTE), moment("new", START)],
        pipeline=[moment("partners", START + 5 * MINUTE), moment("sales", START + timedelta(milliseconds=3))],
    )

    assert told(record) == [
        ("new", START, "sales"),
        ("new", START + 5 * MINUTE, "partners"),
        ("won", START + 9 * MINUTE, "partners"),
    ]
    assert histories_to_read(ObjectKind.DEAL, STAGES) == {"dealstage", "pipeline"}


def test_repeats_of_the_value_held_are_dropped_and_emptied_values_stay() -> None:
    """A merge or import rewrites history; moving back through empty is a real change."""
    record = deal(
        dealstage=[
            moment("new", START + 4 * MINUTE),
            moment(None, START + 3 * MINUTE),
            moment("", START + 2 * MINUTE),
            moment("new", START + MINUTE, "MERGE_OBJECTS"),
            moment("new", START, "IMPORT"),
        ]
    )

    assert [(entry.value, entry.entered_at, entry.vendor_ref) for entry in record.entries] == [
        ("new", START, "IMPORT"),
        ("", START + 2 * MINUTE, "CRM_UI"),
        ("new", START + 4 * MINUTE, "CRM_UI"),
    ]


@pytest.mark.parametrize("is_newest_first", [True, False])
def test_moments_of_one_instant_keep_the_order_in_which_they_came_about(is_newest_first: bool) -> None:  # noqa: FBT001
    """A workflow sets two stages in one millisecond; the record is in the second."""
    came_about = [moment("new", START - MINUTE), moment("working", START), moment("won", START)]

    record = deal(dealstage=came_about[::-1] if is_newest_first else came_about)

    assert [entry.value for entry in record.entries] == ["new", "working", "won"]


@pytest.mark.parametrize("written", [iso(START + timedelta(milliseconds=7)), "2026-11-01T10:00:00.007999+01:00", None])
def test_instants_are_read_in_every_spelling_and_cut_to_milliseconds(written: str | None) -> None:
    """ISO in answers, epoch milliseconds in older rows; the entry's instant is part of a conversion's identity."""
    exact = START + timedelta(milliseconds=7)

    record = deal(dealstage=[moment("new", written or str(ms(exact)))])

    assert record.entries[0].entered_at == exact


def test_a_record_carries_the_selected_fields_and_its_standing() -> None:
    """What was not selected is not kept: it may be personal."""
    record = deal(
        {
            "amount": "12.50",
            "dealname": "Jane Doe's house",
            "dealstage": "won",
            "createdate": iso(START - MINUTE),
            "hs_merged_object_ids": "5; 6;;7",
        }
    )

    assert record.fields == {"amount": "12.50", "dealstage": "won"}
    assert (record.stage, record.pipeline, record.merged_ids) == ("won", "sales", ("5", "6"))
    assert (record.created_at, record.modified_at) == (START - MINUTE, START)
    assert "12.50" not in repr(record)


@pytest.mark.parametrize(
    "row",
    [
        {"properties": {"hs_lastmodifieddate": iso(START)}},
        {"id": "7", "properties": {}},
        {"id": "7", "properties": ["hs_lastmodifieddate"]},
        {"id": "7", "properties": {"hs_lastmodifieddate": iso(START), "amount": {"secret": "x"}}},
        {"id": "7", "properties": {"hs_lastmodifieddate": "99999999999999999999"}},
        {
            "id": "7",
            "properties": {"hs_lastmodifieddate": iso(START)},
            "propertiesWithHistory": {"dealstage": [{"value": "secret"}]},
        },
        {"id": "7", "properties": {"hs_lastmodifieddate": iso(START)}, "propertiesWithHistory": {"dealstage": "secret"}},
        {"id": "7", "properties": {"hs_lastmodifieddate": iso(START)}, "propertiesWithHistory": {"dealstage": [None]}},
    ],
)
def test_garbage_is_an_unexpected_reply_without_its_values(row: dict[str, Any]) -> None:
    """A crash would stop the poll without a word; a value in the message may be personal data."""
    with pytest.raises(UnexpectedReply, match="not as documented") as caught:
        record_of(ObjectKind.DEAL, row, STAGES)

    assert "secret" not in str(caught.value)
