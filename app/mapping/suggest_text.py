"""A suggested mapping as YAML for people: each line with the reason why it is there (pure)."""

import re
from collections.abc import Iterator, Mapping, Sequence

import yaml

from app.mapping.suggest import Suggestion

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*|\d+[dhm]")
# Words that some reader of YAML takes for something else than text.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
LONGEST_COMMENT = 160
LONGEST_NOTICE = 600
_EXAMPLE = (
    'ad_user_data: {field: contact.your_consent_field, granted: ["yes"]}',
    'ad_personalization: {field: contact.your_consent_field, granted: ["yes"]}',
    "where_required: [EEA, GB, CH]  # leave the line out where consent is needed everywhere",
    'or instead of these, where none is needed: {not_required: true, because: "the reason in words"}',
)


def as_yaml(name: str, suggestion: Suggestion, indent: int = 2) -> str:
    """The mapping section of a source, to stand under `mappings:`."""
    margin = " " * indent
    lines = [f"{margin}{_scalar(name)}:", *(f"{margin}  # {_comment(one, LONGEST_NOTICE)}" for one in suggestion.notices)]
    lines += _Writer(suggestion.reasons).of_mapping(suggestion.document, "", indent + 2)
    return "\n".join(lines) + "\n"


def lines_of(document: Mapping[str, object], indent: int = 0) -> list[str]:
    """Any document as lines of YAML, in the order of its keys; read again it is the same."""
    return list(_Writer({}).of_mapping(document, "", indent))


def one_line(value: object) -> str:
    """A value as YAML on one line."""
    return _flow(value)


class _Writer:
    """Writes parts of the document; paths are as in a mistake: `milestones[0].when[0]`."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self._reasons = {path: _comment(reason) for path, reason in reasons.items()}

    def of_mapping(self, part: Mapping[str, object], path: str, indent: int) -> Iterator[str]:
        for key, value in part.items():
            yield from self._entry(f"{' ' * indent}{_scalar(key)}:", value, f"{path}.{key}".lstrip("."), indent)

    def _entry(self, start: str, value: object, path: str, indent: int) -> Iterator[str]:
        reason = self._said(path)
        if path == "consent" and not value and self._reasons:
            yield f"{start} {{}}{reason}"
            yield from (f"{' ' * indent}#   {line}" for line in _EXAMPLE)
        elif self._is_flat(value, path):
            yield f"{start} {_flow(value)}{reason}"
        elif isinstance(value, Mapping):
            yield f"{start}{reason}"
            yield from self.of_mapping(value, path, indent + 2)
        elif isinstance(value, Sequence):
            yield f"{start}{reason}"
            for place, item in enumerate(value):
                yield from self._item(item, f"{path}[{place}]", indent + 2)

    def _item(self, item: object, path: str, indent: int) -> Iterator[str]:
        margin = " " * indent
        if self._is_flat(item, path) or not isinstance(item, Mapping):
            yield f"{margin}- {_flow(item)}{self._said(path)}"
            return
        if path in self._reasons:
            yield f"{margin}{self._said(path).strip()}"
        first, *others = self.of_mapping(item, path, indent + 2)
        yield f"{margin}- {first.strip()}"
        yield from others

    def _said(self, path: str) -> str:
        return f"  # {self._reasons[path]}" if self._reasons.get(path) else ""

    def _is_flat(self, value: object, path: str) -> bool:
        """Whether it stands on one line: nothing inside has a reason of its own, and it is no list of mappings."""
        if any(inner.startswith((f"{path}.", f"{path}[")) for inner in self._reasons):
            return False
        if isinstance(value, Mapping):
            return not any(isinstance(part, Mapping) for part in value.values())
        return isinstance(value, str) or not isinstance(value, Sequence) or not any(isinstance(one, Mapping) for one in value)


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    return _scalar(value)


def _scalar(value: object) -> str:
    """One value on one line; what could be taken for something else stands in quotes."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if not isinstance(value, str) or (_PLAIN.fullmatch(text) and text.casefold() not in _WORDS):
        return text
    quoted: str = yaml.safe_dump(text, default_style='"', allow_unicode=False, width=10**6)
    return quoted.strip()


def _comment(text: str, longest: int = LONGEST_COMMENT) -> str:
    """A vendor's words end no line and hide nothing."""
    clean = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return clean if len(clean) <= longest else f"{clean[:longest]}..."
