"""Which settings are shown to nobody: a secret that is left off the list would stand on a page."""

import re
from importlib import import_module

import pytest

from connectors.registry import CREDENTIALS, DESTINATIONS, SOURCES

MAY_BE_SECRET = re.compile(r"token|secret|key|json|password|username|credential")
# They hold a word of it and are none.
HARMLESS = {"token_url", "token_in", "daily_tokens"}


def settings_of(kind: str) -> set[str]:
    """All settings of a kind, as its refusal of an unknown one lists them."""
    connector = (SOURCES | DESTINATIONS)[kind]  # type: ignore[operator]  # both are dicts
    with pytest.raises(ValueError, match="there are") as refused:
        connector.check_settings({"no_such_setting": "x"})
    return {one.strip() for one in str(refused.value).partition("there are ")[2].split(",")}


@pytest.mark.parametrize("kind", sorted({*SOURCES, *DESTINATIONS}))
def test_what_may_be_secret_is_shown_to_nobody(kind: str) -> None:
    """By name, and by what the connector itself keeps out of its texts."""
    found = settings_of(kind)
    place = "crm" if kind in SOURCES else "ads"
    module = import_module(f"connectors.{place}.{kind}.settings")
    classes = [one for one in vars(module).values() if isinstance(one, type) and hasattr(one, "__dataclass_fields__")]
    hidden = {name for one in classes for name, kept in one.__dataclass_fields__.items() if not kept.repr} & found

    assert found
    assert {name for name in found if MAY_BE_SECRET.search(name)} - HARMLESS <= CREDENTIALS
    assert hidden <= CREDENTIALS


def test_every_credential_is_some_connector_s() -> None:
    """A word that no connector knows protects nothing."""
    assert {name for kind in (*SOURCES, *DESTINATIONS) for name in settings_of(kind)} >= CREDENTIALS
