"""SOQL is built of names that are checked and texts that are escaped."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.crm.salesforce.soql import Query, instant, literal, split
from tests.wire.salesforce.fake_org import org_id


@given(st.text())
def test_no_text_gets_out_of_its_quotes(text: str) -> None:
    """There are no bind variables in REST."""
    quoted = literal(text)

    assert re.fullmatch(r"'(?:[^'\\\n\r]|\\.)*'", quoted, re.DOTALL)
    unescaped = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
    assert re.sub(r"\\(.)", lambda found: unescaped.get(found[1], found[1]), quoted[1:-1], flags=re.DOTALL) == text


@pytest.mark.parametrize("name", ["", "Id, Name", "Id FROM Lead", "a'b", "a..b", ".a", "FIELDS(ALL)", "é", "Id\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """A mapping names fields; they are not quoted in SOQL."""
    with pytest.raises(ValueError, match="SOQL"):
        Query("Lead", ("Id", name)).text()


def test_a_query_reads_as_salesforce_wants_it() -> None:
    """Each field once, instants unquoted and in UTC."""
    query = Query("Lead", ("Id", "Email", "Id"), where=(f"SystemModstamp >= {instant(1)}",), among="Id", ids=("a", "b"), limit=5)

    assert query.text() == (
        "SELECT Id, Email FROM Lead WHERE SystemModstamp >= 1970-01-01T00:00:00.001Z AND Id IN ('a','b') ORDER BY Id LIMIT 5"
    )


@given(st.integers(0, 12_000), st.integers(1, 5))
def test_lists_of_ids_are_cut_to_what_a_query_may_hold(count: int, pieces: int) -> None:
    """100,000 characters, whatever the number of fields; every id is in exactly one piece."""
    ids = tuple(org_id("Lead", number) for number in range(count))
    query = Query("Lead", tuple(f"Field_{number}__c" for number in range(200)), among="Id", ids=ids)

    found = list(split(query, pieces))

    assert [one for part in found for one in part.ids] == list(ids)
    assert all(part.ids and len(part.text()) <= 100_000 for part in found)
    assert len(found) >= min(pieces, count) // 2
