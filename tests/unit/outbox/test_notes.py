"""The status in the CRM: short, stable, without anything personal."""

from datetime import UTC, datetime, timedelta

import pytest

from app.bootstrap.write_back_setting import NotedProperty, mistakes_of, read_write_back
from app.outbox.notes import LONGEST_NOTE, Outcome, status_text
from app.outbox.states import DeliveryState
from connectors.contract.conversions import DeliveryKind
from connectors.contract.records import ObjectKind
from connectors.contract.selection import Selection
from connectors.contract.source import PropertySchema, PropertyType, SourceSchema

DAY = datetime(2026, 11, 26, 23, 59, tzinfo=UTC)
RANKS = {"lead": 0, "qualified_lead": 1, "closed_revenue": 2}


def _outcome(
    destination: str = "google",
    milestone: str = "lead",
    state: DeliveryState = DeliveryState.CONFIRMED,
    *,
    kind: DeliveryKind = DeliveryKind.UPLOAD,
    reason: str = "confirmed",
    code: str | None = None,
    days: int = 0,
) -> Outcome:
    return Outcome(destination, 1, milestone, kind, state, reason, code, DAY + timedelta(days=days))


def _text(*outcomes: Outcome) -> str:
    return status_text(outcomes, lambda name: RANKS.get(name, -1))


def test_each_destination_tells_its_highest_milestone() -> None:
    """A salesperson sees how far the platform was told, not every step."""
    refused = _outcome("meta", "qualified_lead", DeliveryState.REJECTED, reason="refused", code="invalid_identifier")

    text = _text(_outcome(), refused, _outcome(milestone="closed_revenue"), _outcome(milestone="disqualified", days=3))

    assert text == "google: closed_revenue confirmed 2026-11-26; meta: qualified_lead rejected (invalid_identifier)"


def test_the_newest_outcome_of_a_milestone_counts_in_any_order() -> None:
    """The text must be the same however the rows come, or it is written again and again."""
    old = _outcome(state=DeliveryState.EXPIRED, reason="deadline")
    new = _outcome(state=DeliveryState.ACCEPTED, days=1)

    assert _text(old, new) == _text(new, old) == "google: lead accepted 2026-11-27"


def test_a_withdrawal_that_was_taken_is_told() -> None:
    """`confirmed` of what was taken back would be a lie; a refused or other correction changes nothing."""
    upload = _outcome(days=2)
    retract = _outcome(state=DeliveryState.ACCEPTED, kind=DeliveryKind.RETRACT, days=2)
    restate = _outcome(state=DeliveryState.REJECTED, kind=DeliveryKind.RESTATE, days=3)

    assert _text(upload, retract, restate) == "google: lead retracted 2026-11-28"
    assert _text(upload, restate) == "google: lead confirmed 2026-11-28"


@pytest.mark.parametrize("code", ["Bad e-mail jane@example.com", "x" * 61, ""])
def test_a_platforms_sentence_does_not_go_into_the_crm(code: str) -> None:
    """It may quote a person; our own reason says enough."""
    assert _text(_outcome(state=DeliveryState.REJECTED, reason="refused", code=code)) == "google: lead rejected (refused)"


@pytest.mark.parametrize("reason", ["before_start", "unmapped", "superseded", "erased", "shadow"])
def test_what_concerns_nobody_in_sales_is_not_told(reason: str) -> None:
    """A first pull would write to thousands of old records, and a forgotten person must be left alone."""
    skipped = _outcome(milestone="closed_revenue", state=DeliveryState.SKIPPED, reason=reason)

    assert _text(skipped) == ""
    assert _text(skipped, _outcome()) == "google: lead confirmed 2026-11-26"


def test_nothing_final_is_no_text() -> None:
    """An empty note would clear the property."""
    assert _text() == ""


def test_a_text_keeps_whole_parts_within_its_length() -> None:
    """A CRM refuses a longer one."""
    text = _text(*(_outcome(f"destination-{place}", "closed_revenue") for place in range(20)))

    assert len(text) <= LONGEST_NOTE
    assert text.endswith("2026-11-26; ...")


# The setting ----------------------------------------------------------------------------------------------------------

_PROPERTIES = {
    "leadloop_status": PropertySchema("leadloop_status", "Leadloop status", PropertyType.TEXT, is_writable=True, is_custom=True),
    "short": PropertySchema("short", "Short", PropertyType.TEXT, is_writable=True, max_length=40, is_custom=True),
    "long": PropertySchema("long", "Long", PropertyType.TEXT, is_writable=True, max_length=120, is_custom=True),
    "createdate": PropertySchema("createdate", "Created", PropertyType.DATETIME, is_custom=True),
    "amount": PropertySchema("amount", "Amount", PropertyType.MONEY, is_writable=True, is_custom=True),
}
NOTHING = Selection()
_PROPERTIES["dealname"] = PropertySchema("dealname", "Name", PropertyType.TEXT, is_writable=True)
SCHEMA = SourceSchema("a", "USD", "UTC", {ObjectKind.DEAL: _PROPERTIES, ObjectKind.CONTACT: _PROPERTIES})


def test_the_setting_names_properties_of_kinds() -> None:
    """Each once, with what it holds."""
    read = read_write_back(" contact.leadloop_status,deal.long, deal.long ,", SCHEMA, NOTHING)

    assert read.properties == (
        NotedProperty(ObjectKind.CONTACT, "leadloop_status", 255),
        NotedProperty(ObjectKind.DEAL, "long", 120),
    )
    assert read.mistakes == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("leadloop_status", "reads like `deal.property`"),
        ("company.leadloop_status", "reads like `deal.property`"),
        ("deals.leadloop_status", "did you mean 'deal'"),
        ("deal.leadloop_statsu", "did you mean 'deal.leadloop_status'"),
        ("deal.createdate", "may not be written"),
        ("deal.amount", "is no text"),
        ("deal.short", "holds 40 characters"),
        ("deal.dealname", "is the CRM's own"),
    ],
)
def test_a_property_that_cannot_take_it_is_a_mistake(text: str, told: str) -> None:
    """Better at apply than in a log at night; writing into the amount would be worse."""
    (mistake,) = mistakes_of(text, SCHEMA, NOTHING, can_write=True)

    assert told in str(mistake)
    assert mistake.path == "write_back"


def test_a_crm_that_cannot_be_written_is_told() -> None:
    """A setting that does nothing must not look as if it did."""
    assert len(mistakes_of("deal.leadloop_status", SCHEMA, NOTHING, can_write=False)) == 1
    assert not mistakes_of("", SCHEMA, NOTHING, can_write=False)
