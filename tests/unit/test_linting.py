"""`leadloop mapping lint FILE` needs nothing but the file: no database, no secret, no CRM, no platform."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import cli

EXAMPLES = Path(__file__).resolve().parents[2] / "config" / "examples"
GOOGLE = "mappings.crm.destinations.google"
WORTHLESS = "`lead` goes to google without a value: bidding cannot tell a good one from a poor one"
BROKEN = """
sources: {crm: {kind: hubspot, access_token: "${NOT_HERE}"}}
destinations: {google: {kind: google, account_id: "1", access_token: "file:/not/here"}}
mappings:
  crm:
    identity: {email: [kontact.email], gclid: [contact]}
    consent: {not_required: true, because: all signed}
    milestones:
      - name: lead
        when: [{object: contact, created: true}]
    destinations:
      google: {lead: {conversion_actoin: "1"}}
      gogle: {lead: null}
"""


def lint(file: Path) -> tuple[int, list[str]]:
    """Exit code and lines."""
    done = CliRunner().invoke(cli, ["mapping", "lint", str(file)], env={"LEADLOOP_DATABASE_URL": "postgresql://nowhere/x"})
    return done.exit_code, done.output.splitlines()


@pytest.mark.parametrize("example", ["hubspot-saas", "pipedrive-agency", "salesforce-enterprise"])
def test_the_examples_are_clean(example: str) -> None:
    """Whoever copies one starts without a mistake, secrets set or not, and without a warning."""
    code, lines = lint(EXAMPLES / f"{example}.yaml")

    assert code == 0
    assert [line.split()[0] for line in lines] == ["ok"]


def test_mistakes_and_warnings_are_told_apart(tmp_path: Path) -> None:
    """Each with its place in the file and the nearest right word; only mistakes fail."""
    file = tmp_path / "leadloop.yaml"
    file.write_text(BROKEN, encoding="utf-8")

    code, lines = lint(file)

    assert code == 1
    assert lines == [
        "mistake mappings.crm.identity.email: `kontact.email` names no kind of record (did you mean `contact.`?)",
        "mistake mappings.crm.identity.gclid: `contact` names no property, like `contact.email`",
        f"mistake {GOOGLE}.lead.conversion_actoin: the platform has no such target setting (did you mean `conversion_action`?)",
        f"mistake {GOOGLE}.lead: needs `conversion_action`",
        "warning mappings.crm.destinations.gogle: the file has no destination of this name (did you mean `google`?)",
        f"warning mappings.crm.milestones[0]: {WORTHLESS}",
        "warning mappings.crm.destinations.gogle: names no target: nothing is sent there",
    ]


def test_a_document_alone_is_checked_as_well(tmp_path: Path) -> None:
    """As it comes from the API, in JSON."""
    file = tmp_path / "mapping.json"
    file.write_text(json.dumps({"identity": {"email": "contact.email"}, "milestons": []}), encoding="utf-8")

    code, lines = lint(file)

    assert code == 1
    assert lines == [
        "mistake consent: is missing",
        "mistake milestones: is missing",
        "mistake milestons: there is no such key here (did you mean `milestones`?)",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no mapping"),
        ("sources: {}", "has no mapping"),
        ("mappings: {crm: [1]}", "mappings.crm: line 1, column 17: must be a mapping document"),
        ("mappings: {crm: {", "mistake line 1"),
    ],
)
def test_what_is_no_mapping_is_a_mistake(tmp_path: Path, text: str, said: str) -> None:
    """An empty file must not pass for a good one."""
    file = tmp_path / "leadloop.yaml"
    file.write_text(text, encoding="utf-8")

    code, lines = lint(file)

    assert code == 1
    assert said in lines[0]
