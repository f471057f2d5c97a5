"""Every late reason in Google's discovery document has a meaning of its own."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.ads.google.errors import ERROR_REASONS, Meaning
from connectors.ads.google.status import PROCESSING_REASONS, late_result, read_status, short_code
from connectors.contract.errors import UnexpectedReply
from connectors.contract.results import Later, Rejected, Retry, StillProcessing, Unnamed, Verdicts

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def told(status: str, *counts: dict[str, object]) -> dict[str, object]:
    return {"requestStatusPerDestination": [{"requestStatus": status, "errorInfo": {"errorCounts": list(counts)}}]}


def test_every_late_reason_is_known(shared: Path) -> None:
    """Google adds reasons with each revision; a new one must not be read as final by accident."""
    document = json.loads((shared / "specs/google/datamanager.v1.json").read_text())
    reasons = document["schemas"]["ErrorCount"]["properties"]["reason"]["enum"]
    assert {short_code(each) for each in reasons} - set(PROCESSING_REASONS) == set()


def test_every_refusal_reason_of_the_facts_is_known(shared: Path) -> None:
    """The discovery document does not enumerate ErrorReason (the package does, see tests/referees); the facts name them."""
    facts = (shared / "facts/ads_google.md").read_text()
    section = facts.partition("### 8.2")[2].partition("### 8.3")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ") and "code" not in line]
    named = {code for row in rows for code in row.replace(",", " ").split() if code.isupper()}
    assert len(named) > 40
    assert named - set(ERROR_REASONS) == set()


def test_the_account_is_told_from_its_targets() -> None:
    """A wrong action must stop a milestone and a wrong account the connection."""
    assert ERROR_REASONS["INVALID_CONVERSION_ACTION_ID"] is Meaning.TARGET
    assert ERROR_REASONS["OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH"] is Meaning.ACCOUNT


def test_late_results() -> None:
    """Passing faults come again, unknown ones do not."""
    assert late_result("TOO_RECENT_CLICK", NOW) == Later(NOW + timedelta(hours=6), "TOO_RECENT_CLICK")
    assert late_result("INTERNAL_ERROR", NOW) == Retry("INTERNAL_ERROR")
    assert late_result("NEVER_HEARD_OF", NOW) == Rejected("NEVER_HEARD_OF")


def test_status_that_names_nobody() -> None:
    """Indices that are missing, too many or out of range must not condemn the wrong row."""
    reason = "PROCESSING_ERROR_REASON_INVALID_GCLID"
    count: dict[str, object] = {"reason": reason, "recordCount": "1"}
    assert read_status(told("PARTIAL_SUCCESS", count), 3, NOW, 0) == Unnamed(1, "INVALID_GCLID")
    assert read_status(told("PARTIAL_SUCCESS", {**count, "recordIndices": [3]}), 3, NOW, 0) == Unnamed(1, "INVALID_GCLID")
    assert read_status(told("PARTIAL_SUCCESS", {**count, "recordIndices": [0, 1]}), 3, NOW, 0) == Unnamed(1, "INVALID_GCLID")
    assert read_status(told("FAILED", {**count, "recordCount": "3"}), 3, NOW, 0) == Verdicts(
        dict.fromkeys(range(3), Rejected("INVALID_GCLID"))
    )
    assert read_status(told("PARTIAL_SUCCESS", {**count, "recordIndices": ["3"]}), 3, NOW, 1) == Verdicts(
        {2: Rejected("INVALID_GCLID")}
    )
    assert read_status(told("SUCCESS"), 3, NOW, 0) == Verdicts({})
    assert read_status(told("PROCESSING"), 3, NOW, 0) == StillProcessing()
    with pytest.raises(UnexpectedReply):
        read_status({}, 3, NOW, 0)
