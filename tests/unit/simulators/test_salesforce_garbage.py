import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulators.salesforce import Org
from tests.unit.simulators.salesforce_rig import ROOT, Rig, at

WORDS = (
    *("SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "ORDER", "BY", "DESC", "NULLS", "LAST", "LIMIT", "OFFSET"),
    *("Id", "Lead", "Opportunity", "StageName", "Amount", "IsWon", "SystemModstamp", "Account.Name", "Contact.Id", "count()"),
    *("(", ")", ",", "=", "!=", "<", ">=", "null", "true", "1", "2001", "'x'", "'%'", "2026-11-01", "2026-11-01T12:00:00Z"),
    *("'0065f0000000001AAA'", "'0065f0000000001'", "toLabel(", "é", "'", "\\", "."),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["x", "Lead", f"{ROOT}/limits", f"{ROOT}/query?q=x", "GET", "PATCH"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["compositeRequest", "batchRequests", "records", "method", "url", "referenceId", "body", "attributes", "type"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
CONDITIONS = (
    *("Id = '0065f0000000001AAA'", "Amount > 5", "Amount = null", "NOT IsWon = true", "Name LIKE '%1'", "AccountId = null"),
    *("SystemModstamp >= 2026-11-01T12:01:00Z", "SystemModstamp < 2026-11-01T12:02:00Z", "StageName IN ('Closed Won', 'x')"),
    *("Id NOT IN ('0065f0000000002AAA')", "Id IN ('0065f0000000002', '0065f0000000003AAA')", "Account.Name = null"),
)


def rig_of_deals() -> Rig:
    rig = Rig(Org())
    for number in range(4):
        fields = {"Name": f"deal {number}", "Amount": number * 3 or None}
        deal = rig.org.create("Opportunity", fields, at(number))
        if number % 2:
            rig.org.update("Opportunity", deal, {"StageName": "Closed Won"}, at(number + 1))
    return rig


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=14))
async def test_no_query_breaks_the_vendor(words: list[str]) -> None:
    """Whatever is asked, the answer is rows or a refusal with a code."""
    rig = rig_of_deals()

    for text in (" ".join(words), f"SELECT Id FROM Opportunity WHERE {' '.join(words)}"):
        reply = await rig.query(text)
        assert reply.status_code == 200 or (reply.status_code, bool(reply.json()[0]["errorCode"])) == (400, True)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["/composite", "/composite/batch", "/composite/sobjects", "/sobjects/Lead"]), VALUES)
async def test_no_body_breaks_the_vendor(path: str, body: Any) -> None:
    """A garbled body is refused as a whole or in its parts."""
    rig = rig_of_deals()

    reply = await rig.call("PATCH" if path.endswith("sobjects") else "POST", path, content=json.dumps(body))

    assert reply.status_code in (200, 400)


def condition() -> st.SearchStrategy[str]:
    def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        pairs = st.tuples(st.sampled_from([" AND ", " OR "]), st.lists(inner, min_size=2, max_size=3))
        return pairs.map(lambda pair: pair[0].join(f"({one})" for one in pair[1])) | inner.map(lambda one: f"NOT ({one})")

    return st.recursive(st.sampled_from(CONDITIONS), joined, max_leaves=6)


@settings(max_examples=40, deadline=None)
@given(condition())
async def test_indexes_never_change_an_answer(where: str) -> None:
    """What an index leaves out must be what does not fit: a condition and its contrary share the rows among them."""
    rig = rig_of_deals()

    whole, fits, rest = [
        await rig.column("Id", f"Opportunity{clause} ORDER BY SystemModstamp, Id")
        for clause in ("", f" WHERE {where}", f" WHERE NOT ({where})")
    ]
    unordered = await rig.column("Id", f"Opportunity WHERE {where}")

    assert sorted(fits + rest) == sorted(whole)
    assert fits == [one for one in whole if one in fits]
    assert sorted(unordered) == sorted(fits)
