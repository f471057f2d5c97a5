"""References in settings: `${VARIABLE}` and `file:` stand for values kept elsewhere, and are resolved when they are used."""

import re
from collections.abc import Mapping
from pathlib import Path

LARGEST_SECRET_FILE_BYTES = 64_000
PROTECTED_VARIABLES = frozenset({"LEADLOOP_SECRET_KEY", "LEADLOOP_API_KEY", "LEADLOOP_DATABASE_URL"})

_REFERENCE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_FILE_REFERENCE = "file:"


class ReferenceUnresolved(Exception):
    """A `${VARIABLE}` or `file:` reference has no value here; the message names the reference, never a value."""


def is_reference(text: str) -> bool:
    """Whether a setting's text stands for a value elsewhere, in whole or in part."""
    return text.startswith(_FILE_REFERENCE) or any(not escape for escape, _ in _REFERENCE.findall(text))


def resolve_reference(text: str, environ: Mapping[str, str]) -> str:
    """The text with `${VARIABLE}` and a leading `file:` replaced by their values; `$${X}` stands for a plain `${X}`."""
    if text.startswith(_FILE_REFERENCE):
        return _read_secret(Path(text.removeprefix(_FILE_REFERENCE)))

    def value_of(match: re.Match[str]) -> str:
        escape, name = match.groups()
        if escape:
            return "${" + name + "}"
        if name in PROTECTED_VARIABLES:
            raise ReferenceUnresolved(f"the variable {name} is Leadloop's own and is not handed to a connection")
        if not environ.get(name):
            raise ReferenceUnresolved(f"the environment variable {name} is not set")
        return environ[name]

    return _REFERENCE.sub(value_of, text)


def _read_secret(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_SECRET_FILE_BYTES:
            raise ReferenceUnresolved(f"the file {path} is too large to be a secret")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ReferenceUnresolved(f"the file {path} cannot be read") from error
