"""Reading a connection's settings from plain text values; ValueError names the key that is wrong, never its value (pure)."""

import re
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

Choice = TypeVar("Choice", bound=StrEnum)

ON, OFF = "on", "off"


class TextSettings:
    """The given values of one vendor's connection, trimmed; empty ones count as left out."""

    def __init__(self, vendor: str, values: Mapping[str, str], known: Sequence[str]) -> None:
        """ValueError where a key is none of `known`."""
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"{vendor} has no setting `{unknown[0]}`; there are {', '.join(known)}")
        self._vendor = vendor
        self.given: Mapping[str, str] = {name: value.strip() for name, value in values.items() if value.strip()}

    def __contains__(self, name: str) -> bool:
        """Whether a value is given."""
        return name in self.given

    def text(self, name: str, default: str = "") -> str:
        """Free text."""
        return self.given.get(name, default)

    def needed(self, name: str) -> str:
        """A text that must be there."""
        if name not in self.given:
            raise ValueError(f"{self._vendor} needs the setting `{name}`")
        return self.given[name]

    def matching(self, name: str, default: str, pattern: re.Pattern[str], what: str) -> str:
        """A text of a form; `what` says which, as in `a version such as v26.0`."""
        text = self.given.get(name, default)
        if text != default and not pattern.fullmatch(text):
            raise self.wrong(name, what)
        return text

    def url(self, name: str, default: str) -> str:
        """A URL without its last slash."""
        url = self.given.get(name, default).rstrip("/")
        if not url.startswith(("https://", "http://")):
            raise self.wrong(name, "a URL")
        return url

    def choice(self, name: str, default: Choice) -> Choice:
        """One member of the default's enumeration, by its value without regard to case."""
        members = {str(one).lower(): one for one in type(default)}
        text = self.given.get(name, str(default)).lower()
        if text not in members:
            raise self.wrong(name, f"one of {', '.join(str(one) for one in type(default))}")
        return members[text]

    def flag(self, name: str, *, default: bool) -> bool:
        """`on` or `off`."""
        text = self.given.get(name, ON if default else OFF).lower()
        if text not in (ON, OFF):
            raise self.wrong(name, f"{ON} or {OFF}")
        return text == ON

    def one_kind(self, kinds: Collection[frozenset[str]], optional: Collection[str] = ()) -> frozenset[str]:
        """Which kind of credential is given: all settings of exactly one of `kinds`, and none of another's."""
        every = frozenset[str]().union(*kinds)
        names = {name for name in every if name in self.given} - set(optional)
        for kind in kinds:
            if names == kind - set(optional):
                return kind
        ways = "; or ".join(", ".join(f"`{name}`" for name in sorted(kind)) for kind in kinds)
        found = ", ".join(f"`{name}`" for name in sorted(names)) or "none"
        raise ValueError(f"{self._vendor} needs one kind of credential: {ways}; found {found}")

    def wrong(self, name: str, what: str) -> ValueError:
        """The error that says what a setting should be."""
        return ValueError(f"{self._vendor}'s setting `{name}` is {what}")
