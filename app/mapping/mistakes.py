"""What is wrong with a document: mistakes with their place, and what this version refuses by name (pure)."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

NOT_YET = {"average", "predicted"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong, where, and the nearest word that would be right."""

    path: str
    message: str
    nearest: str | None = None

    def __str__(self) -> str:
        """One line for people."""
        hint = f" (did you mean `{self.nearest}`?)" if self.nearest else ""
        return f"{self.path}: {self.message}{hint}"


class DocumentInvalid(Exception):
    """The document cannot be used; every mistake is listed."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


def nearest(word: str, choices: Sequence[str]) -> str | None:
    """The closest valid word, None where nothing is close."""
    close = difflib.get_close_matches(word, choices, 1)
    return close[0] if close else None


def not_yet(data: object) -> list[Mistake]:
    """What a raw document asks for that this version does not do: refused by name, never silently ignored."""
    if not isinstance(data, dict):
        return []
    found = []
    milestones = data.get("milestones")
    for place, milestone in enumerate(milestones if isinstance(milestones, list) else []):
        if not isinstance(milestone, dict):
            continue
        value = milestone.get("value")
        if isinstance(value, dict) and value.get("model") in NOT_YET:
            found.append(Mistake(f"milestones[{place}].value.model", f"`{value['model']}` is not available in this version"))
    return found
