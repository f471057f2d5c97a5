"""The README's tables of reasons, made from the product's own words: `python -m tests.reason_tables` prints them."""

from app.mapping.explaining import END_SENTENCES, UNREACHED_SENTENCES
from app.outbox.states import REASON_SENTENCES, STATE_REASONS

BEGINS = "<!-- reasons: python -m tests.reason_tables -->"
ENDS = "<!-- end of reasons -->"


def reason_tables() -> str:
    """All three, as they stand in the README."""
    states: dict[str, list[str]] = {}
    for state, reasons in STATE_REASONS.items():
        for reason in reasons:
            states.setdefault(reason.value, []).append(state.value)
    lines = ["| a delivery is | reason | what happened, and what to do |", "|---|---|---|"]
    lines += [f"| {', '.join(states[code.value])} | `{code}` | {text} |" for code, text in REASON_SENTENCES.items()]
    lines += ["", "| no conversion | what happened, and what to do |", "|---|---|"]
    lines += [f"| `{code}` | {text} |" for code, text in UNREACHED_SENTENCES.items()]
    lines += ["", "| a conversion ended | what happened, and what to do |", "|---|---|"]
    lines += [f"| `{code}` | {text} |" for code, text in END_SENTENCES.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(reason_tables())  # noqa: T201 what it is for
