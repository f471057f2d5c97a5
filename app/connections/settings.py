"""A connection's settings: sealed as they were written, references resolved only when a connector is opened."""

from collections.abc import Mapping

import orjson

from app.references import ReferenceUnresolved, resolve_reference
from app.secrets import Keyring

CUSTOM_URL_SETTINGS = frozenset({"base_url", "token_url"})


class SettingsRefused(Exception):
    """Settings that cannot be used here; the message names the setting and what to do, never its value."""


def seal_settings(keyring: Keyring, settings: Mapping[str, str]) -> bytes:
    """The bytes to store; references stay references."""
    return keyring.seal(orjson.dumps(dict(settings)))


def open_settings(keyring: Keyring, sealed: bytes) -> dict[str, str]:
    """The settings as they were written."""
    return {str(name): str(value) for name, value in orjson.loads(keyring.open(sealed)).items()}


def resolve_settings(
    settings: Mapping[str, str], environ: Mapping[str, str], *, allow_custom_base_urls: bool = False
) -> dict[str, str]:
    """The settings with their references' values; SettingsRefused where one has none or a URL may not be set."""
    if not allow_custom_base_urls:
        for name in sorted(CUSTOM_URL_SETTINGS & settings.keys()):
            raise SettingsRefused(f"`{name}` may be set only where LEADLOOP_ALLOW_CUSTOM_BASE_URLS is on")
    resolved = {}
    for name, value in settings.items():
        try:
            resolved[name] = resolve_reference(value, environ)
        except ReferenceUnresolved as error:
            raise SettingsRefused(f"`{name}`: {error}") from error
    return resolved
