"""Every reason code of the product has its sentence, its state and its line in the README."""

from pathlib import Path

from app.mapping.aggregate import EndReason
from app.mapping.explaining import END_SENTENCES, UNREACHED_SENTENCES, Unreached
from app.outbox.states import REASON_SENTENCES, STATE_REASONS, DeliveryState, Reason
from tests.reason_tables import BEGINS, ENDS, reason_tables

README = Path(__file__).parents[2] / "README.md"


def test_every_code_has_a_sentence_that_says_what_to_do() -> None:
    """What happened alone leaves its reader where they were."""
    told = [*REASON_SENTENCES.items(), *UNREACHED_SENTENCES.items(), *END_SENTENCES.items()]

    assert {code for code, _ in told} == {*Reason, *Unreached, *EndReason}
    assert [code for code, text in told if ". " not in text or not text.endswith(".")] == []


def test_every_reason_stands_in_a_state() -> None:
    """A reason of no state is never shown, and a state without reasons never says why."""
    assert set(STATE_REASONS) == set(DeliveryState)
    assert {reason for reasons in STATE_REASONS.values() for reason in reasons} == set(Reason)


def test_the_readme_tells_every_code_in_the_same_words() -> None:
    """Whoever searches the page for a code must find what the trace says, and no code that is gone."""
    text = README.read_text(encoding="utf-8")

    between = text.partition(BEGINS)[2].partition(ENDS)[0].strip()

    assert between == reason_tables(), "print them anew: python -m tests.reason_tables"
