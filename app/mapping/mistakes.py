"""What is wrong with a document: mistakes with their place and the nearest right word (pure)."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass


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
