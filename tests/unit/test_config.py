from pathlib import Path

import pytest

from app.config import (
    ConfigInvalid,
    ConnectionMode,
    LogFormat,
    ProcessRole,
    Settings,
    SettingsInvalid,
    load_file,
    load_settings,
)
from app.connections.settings import SettingsRefused, resolve_settings

FILE = """
sources:
  crm:
    kind: hubspot
    token: ${HUBSPOT_TOKEN}
    portal_id: 0123
    country: no
    webhook_secrets: [one, "two"]
destinations:
  google: {kind: google, customer_id: 1234567890, mode: shadow}
mappings:
  crm:
    start: 2026-11-22
    exclude: [{field: contact.country, op: in, value: [NO, US]}]
    milestones:
      - {name: lead, value: {model: fixed, amount: 12.5}, when: [{object: contact, created: true}]}
"""
ENVIRON = {"HUBSPOT_TOKEN": "pat-na1-very-secret"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_KEY", "SECRET_KEY_FILE", "DATABASE_URL", "CONFIG", "API_KEY", "PUBLIC_URL", "ROLES", "LOG_FORMAT"):
        monkeypatch.delenv(f"LEADLOOP_{name}", raising=False)


def _write(folder: Path, text: str) -> Path:
    path = folder / "leadloop.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_settings_have_working_defaults_and_read_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One container with only a secret key must run; every variable of the manual must arrive."""
    assert load_settings().database_url == "sqlite:///leadloop.db"
    assert load_settings().roles == frozenset(ProcessRole)

    monkeypatch.setenv("LEADLOOP_ROLES", "api, Worker")
    monkeypatch.setenv("LEADLOOP_LOG_FORMAT", "CONSOLE")
    monkeypatch.setenv("LEADLOOP_PUBLIC_URL", "https://leads.example/")
    monkeypatch.setenv("LEADLOOP_CONFIG", str(tmp_path))
    settings = load_settings()

    assert settings.roles == {ProcessRole.API, ProcessRole.WORKER}
    assert settings.log_format is LogFormat.CONSOLE
    assert settings.public_url == "https://leads.example"
    assert settings.config == tmp_path


def test_a_wrong_variable_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is printed at start, where secrets may stand beside the mistake."""
    monkeypatch.setenv("LEADLOOP_ROLES", "api,hunter2hunter2")

    with pytest.raises(SettingsInvalid, match="LEADLOOP_ROLES") as caught:
        load_settings()

    assert "hunter2" not in str(caught.value)


def test_no_secret_key_is_a_clear_refusal() -> None:
    """Without a key nothing could be sealed, so the message must say what to set."""
    with pytest.raises(SettingsInvalid, match="LEADLOOP_SECRET_KEY"):
        Settings().secret_texts()
    with pytest.raises(SettingsInvalid, match="16 characters"):
        Settings(secret_key="short").secret_texts()


def test_secret_keys_come_from_text_or_file_newest_first(tmp_path: Path) -> None:
    """Rotation lists keys by comma; a mounted secret file ends with a newline."""
    (tmp_path / "key").write_text("first-key-0123456789,second-key-0123456789\n")

    from_file = Settings(secret_key_file=tmp_path / "key").secret_texts()

    assert from_file == ("first-key-0123456789", "second-key-0123456789")
    assert Settings(secret_key=" first-key-0123456789 ").secret_texts() == ("first-key-0123456789",)


def test_repr_of_settings_shows_no_secret() -> None:
    """A database URL carries a password as much as a key does."""
    shown = repr(
        Settings(secret_key="first-key-0123456789", api_key="admin-key-012345", database_url="postgresql://u:hunter2@db/x")
    )

    assert "first-key" not in shown
    assert "admin-key" not in shown
    assert "hunter2" not in shown


def test_file_keeps_references_and_reads_values_as_written(tmp_path: Path) -> None:
    """YAML's own ideas (Norway as false, octal ids, dates as objects) would change what an operator wrote."""
    config = load_file(_write(tmp_path, FILE), ENVIRON)

    crm = config.sources["crm"]
    assert crm.kind == "hubspot"
    assert crm.settings == {
        "token": "${HUBSPOT_TOKEN}",
        "portal_id": "0123",
        "country": "no",
        "webhook_secrets": "one,two",
    }
    assert config.destinations["google"].mode is ConnectionMode.SHADOW
    mapping = config.mappings["crm"].data
    assert mapping["start"] == "2026-11-22"
    assert mapping["exclude"] == [{"field": "contact.country", "op": "in", "value": ["NO", "US"]}]
    assert mapping["milestones"] == [
        {"name": "lead", "value": {"model": "fixed", "amount": 12.5}, "when": [{"object": "contact", "created": True}]}
    ]
    assert "pat-na1" not in repr(config)


def test_section_hash_sees_meaning_not_style(tmp_path: Path) -> None:
    """A reordered file must not overwrite what was edited over REST; a changed one must be applied."""
    first = load_file(_write(tmp_path, "sources: {a: {kind: hubspot, x: '1', y: '2'}}"), {}).sources["a"]
    same = load_file(_write(tmp_path, "sources:\n  a:\n    y: 2\n    # note\n    x: 1\n    kind: hubspot"), {}).sources["a"]
    other = load_file(_write(tmp_path, "sources: {a: {kind: hubspot, x: '1', y: '3'}}"), {}).sources["a"]

    assert first.section_hash == same.section_hash
    assert first.section_hash != other.section_hash


@pytest.mark.parametrize(
    ("text", "path", "message", "meant"),
    [
        ("surces: {}", "surces", "line 1, column 9: unknown", "sources"),
        ("sources:\n  a: {kind: x, mode: shadw}", "sources.a.mode", "must be one of", "shadow"),
        ("sources:\n  a: {token: x}", "sources.a", "lacks `kind`", None),
        ("sources:\n  a: {kind: x, token: }", "sources.a.token", "has no value", None),
        ("sources:\n  a: {kind: x, token: {b: c}}", "sources.a.token", "plain value", None),
        ("sources:\n  a: {kind: x}\n  a: {kind: y}", "sources.a", "line 3, column 3: stands here twice", None),
        ("sources:\n  a b: {kind: x}", "sources.a b", "a name has", None),
        ("sources:\n  a: {kind: x, token: '${ABSENT}'}", "sources.a.token", "ABSENT is not set", None),
        ("sources:\n  a: {kind: x, token: '${LEADLOOP_SECRET_KEY}'}", "sources.a.token", "Leadloop's own", None),
        ("sources:\n  a: {kind: x, token: 'file:/no/such/file'}", "sources.a.token", "cannot be read", None),
        ("mappings: {a: [1]}", "mappings.a", "must be a mapping document", None),
        ("mappings: {a: {b: !!python/name:os.system x}}", "mappings.a.b", "is not a text", None),
        ("sources: [", "", "line 1, column 11", None),
        ("mappings: {a: &x {b: *x}}", "mappings.a" + ".b" * 41, "nested too deeply", None),
    ],
)
def test_each_mistake_has_its_place(tmp_path: Path, text: str, path: str, message: str, meant: str | None) -> None:
    """A person repairs a file by line and name, not by a stack trace."""
    environ = {"LEADLOOP_SECRET_KEY": "first-key-0123456789"}

    with pytest.raises(ConfigInvalid) as caught:
        load_file(_write(tmp_path, text), environ)

    mistake = caught.value.mistakes[0]
    assert (mistake.path, mistake.nearest) == (path, meant)
    assert message in mistake.message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """One round for each mistake would be one deployment for each mistake."""
    with pytest.raises(ConfigInvalid) as caught:
        load_file(_write(tmp_path, "sources: {a: {}}\ndestinations: {b: {kind: x, mode: y}}\nmaping: {}"), {})

    assert [mistake.path for mistake in caught.value.mistakes] == ["maping", "sources.a", "destinations.b.mode"]


def test_references_are_resolved_only_on_opening(tmp_path: Path) -> None:
    """Stored settings hold the reference, so a rotated token needs no new apply."""
    (tmp_path / "key").write_text("from-a-file\n")
    settings = {"token": "${T}", "key": f"file:{tmp_path / 'key'}", "text": "a $${T} ${T}"}

    resolved = resolve_settings(settings, {"T": "secret"})

    assert resolved == {"token": "secret", "key": "from-a-file", "text": "a ${T} secret"}


@pytest.mark.parametrize("name", ["base_url", "token_url"])
def test_custom_urls_need_the_switch(name: str) -> None:
    """Else whoever may edit a connection could have its credentials sent to a host of their own."""
    with pytest.raises(SettingsRefused, match="LEADLOOP_ALLOW_CUSTOM_BASE_URLS"):
        resolve_settings({name: "http://127.0.0.1"}, {})

    assert resolve_settings({name: "http://127.0.0.1"}, {}, allow_custom_base_urls=True) == {name: "http://127.0.0.1"}


def test_an_unset_reference_names_setting_and_variable() -> None:
    """At open time the operator needs both names, and never the other settings' values."""
    with pytest.raises(SettingsRefused, match=r"`token`.*ABSENT"):
        resolve_settings({"other": "value", "token": "${ABSENT}"}, {})
