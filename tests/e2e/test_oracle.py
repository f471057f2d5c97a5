"""The oracle itself, on a handful of happenings whose outcome can be worked out by hand."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from app.demo.happenings import Happening, What
from app.demo.world import World
from tests.e2e.oracle import Conversion, conversion_id, expected_ledger
from tests.e2e.oracle_platforms import GOOGLE, META

BEGINS_AT = datetime(2026, 10, 1, tzinfo=UTC)
ENDS_AT = BEGINS_AT + timedelta(days=40)
ADA = {"email": "ada@example.com", "ads_consent": "yes", "lifecyclestage": "lead"}
DEAL = {"pipeline": "default", "dealstage": "appointmentscheduled", "amount": "1000"}


def _at(day: float) -> datetime:
    return BEGINS_AT + timedelta(days=day)


def _contact(day: float, key: str, **properties: str) -> Happening:
    return Happening(_at(day), What.CREATE, "contacts", key, {**ADA, **properties})


def _write(day: float, kind: str, key: str, **properties: str) -> Happening:
    return Happening(_at(day), What.UPDATE, kind, key, properties)


def _ledger(*happenings: Happening) -> Mapping[tuple[str, str, int], Conversion]:
    """By milestone, world key of the record that names the scope, and occurrence. The keys' ids are 1, 2, 3 in order."""
    keys = list(dict.fromkeys(one.key for one in happenings if one.what is What.CREATE))
    keys += [one.new_key for one in happenings if one.new_key]
    ids = {key: str(number) for number, key in enumerate(keys, start=1)}
    world = World(BEGINS_AT, ENDS_AT, happenings, (), {}, (), {}, {}, ())
    found = expected_ledger(world, ids, "62515", (GOOGLE, META), ENDS_AT).values()
    names = {number: key for key, number in ids.items()}
    return {(one.milestone, names[one.scope_ref], one.occurrence): one for one in found}


def _fates(one: Conversion) -> list[tuple[str, str, int, str, str]]:
    return [(each.platform.name, each.kind, each.number, each.state, each.reason) for each in one.deliveries]


def _deal(*moves: Happening) -> tuple[Happening, ...]:
    """A qualified contact on a deal, and what happens to it."""
    return (
        _contact(1, "ada"),
        _write(2, "contacts", "ada", lifecyclestage="salesqualifiedlead"),
        Happening(_at(3), What.CREATE, "deals", "deal", DEAL),
        Happening(_at(3.01), What.ASSOCIATE, "deals", "deal", other="ada"),
        *moves,
    )


def test_the_id_is_the_documented_formula() -> None:
    """Worked out with sha256sum and base32, so that a slip in the oracle's formula cannot hide one in the product's."""
    assert conversion_id("62515", "deal", "2", "closed_revenue", 0) == "llp5xt6dpm4rqmogtjrfg5leohti"


def test_a_reopened_deal_is_retracted_and_won_again_as_the_next_occurrence() -> None:
    """The first win is taken back for good; the second is another conversion with an id of its own."""
    ledger = _ledger(
        *_deal(
            _write(4, "deals", "deal", dealstage="qualifiedtobuy"),
            _write(10, "deals", "deal", dealstage="closedwon", amount="900"),
            _write(14, "deals", "deal", dealstage="contractsent"),
            _write(15, "deals", "deal", dealstage="closedwon"),
        )
    )

    first, second = ledger["closed_revenue", "deal", 0], ledger["closed_revenue", "deal", 1]
    assert (first.ended_why, first.occurred_at, first.micros) == ("left", _at(10), 900_000_000)
    assert _fates(first) == [
        ("google", "upload", 0, "unmatched", "unmatched"),
        ("meta", "upload", 0, "accepted", "delivered"),
        ("meta", "retract", 1, "skipped", "unsupported"),
    ]
    assert (second.ended_why, second.occurred_at, second.micros) == ("", _at(15), 900_000_000)
    assert ledger["opportunity", "deal", 0].micros == 360_000_000


def test_a_deal_that_jumps_to_won_implies_its_opportunity_without_a_delivery() -> None:
    """Reports count the step that was skipped; platforms are told only what the CRM's history holds."""
    ledger = _ledger(*_deal(_write(10, "deals", "deal", dealstage="closedwon", amount="900")))

    implied = ledger["opportunity", "deal", 0]
    assert (implied.is_implied, implied.occurred_at, implied.deliveries) == (True, _at(10), [])


def test_of_two_merged_contacts_the_earlier_lead_lives() -> None:
    """One person is one lead, whichever of the two records survives."""
    ledger = _ledger(
        _contact(1, "ada"),
        _contact(3, "ada-again", email="a.lovelace@example.com"),
        Happening(_at(9), What.MERGE, "contacts", "ada-again", other="ada", new_key="ada-anew"),
        _write(11, "contacts", "ada-anew", lifecyclestage="salesqualifiedlead"),
    )

    assert ledger["lead", "ada", 0].ended_why == ""
    assert ledger["lead", "ada-again", 0].ended_why == "duplicate_after_merge"
    assert ledger["qualified_lead", "ada", 0].occurred_at == _at(11)


def test_of_two_records_of_one_email_the_second_is_a_duplicate() -> None:
    """Nobody merged them, and still the person counts once."""
    ledger = _ledger(_contact(1, "ada"), _contact(1.1, "ada-again", email=" ADA@example.com "))

    assert _fates(ledger["lead", "ada", 0]) == [("meta", "upload", 0, "accepted", "delivered")]
    assert _fates(ledger["lead", "ada-again", 0]) == [("meta", "upload", 0, "skipped", "duplicate")]


def test_consent_granted_later_reopens_what_is_still_in_its_window() -> None:
    """Google takes it after ten days, the seven days of Meta's own leads are over."""
    ledger = _ledger(
        _contact(1, "ada", ads_consent="no", leadgen_id="5128873341120976"),
        _write(2, "contacts", "ada", lifecyclestage="salesqualifiedlead"),
        _write(12, "contacts", "ada", ads_consent="yes"),
    )

    assert _fates(ledger["qualified_lead", "ada", 0]) == [
        ("google", "upload", 0, "unmatched", "unmatched"),
        ("meta", "upload", 0, "skipped", "too_old"),
    ]


def test_a_missing_amount_is_waited_for_until_the_window_closes() -> None:
    """Filled in after ten days: in time for both, as Meta takes offline events of 62 days."""
    ledger = _ledger(
        *_deal(
            _write(4, "deals", "deal", dealstage="qualifiedtobuy", amount=""),
            _write(10, "deals", "deal", dealstage="closedwon"),
            _write(20, "deals", "deal", amount="900"),
        )
    )

    assert _fates(ledger["closed_revenue", "deal", 0]) == [
        ("google", "upload", 0, "unmatched", "unmatched"),
        ("meta", "upload", 0, "accepted", "delivered"),
    ]
