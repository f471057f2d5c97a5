"""Builds SOQL: names checked, texts escaped, lists of ids cut to what a query may hold (pure)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from connectors.http.strict_json import from_ms

PAGE_ROWS = 2000
# Salesforce takes 100,000 characters; some are kept for what stands around the ids.
MOST_CHARACTERS = 90_000
# 2,000 ids become 31: what is too large then fails for another reason, and halves would cost the org's day.
MOST_HALVINGS = 6

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*")
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"})


@dataclass(frozen=True, slots=True)
class Query:
    """One query. `among`: the field that must be one of `ids`. `with_deleted` also gives what lies in the recycle bin."""

    of: str
    fields: tuple[str, ...]
    where: tuple[str, ...] = ()
    among: str | None = None
    ids: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ("Id",)
    with_deleted: bool = False
    limit: int | None = PAGE_ROWS
    halvings: int = 0

    def text(self) -> str:
        """The SOQL; ValueError where a name is none."""
        conditions = [*self.where, *([f"{name(self.among)} IN ({_listed(self.ids)})"] if self.among else [])]
        clauses = [
            ("SELECT", ", ".join(map(name, dict.fromkeys(self.fields)))),
            ("FROM", name(self.of)),
            ("WHERE", " AND ".join(conditions)),
            ("ORDER BY", ", ".join(map(name, self.order_by))),
            ("LIMIT", str(self.limit or "")),
        ]
        return " ".join(f"{word} {what}" for word, what in clauses if what)

    def after(self, last_id: str) -> "Query":
        """The rest of a query that is ordered by id."""
        kept = tuple(one for one in self.where if not one.startswith("Id > "))
        return replace(self, where=(*kept, f"Id > {literal(last_id)}"))

    def halves(self) -> "tuple[Query, Query] | None":
        """The same question for each half of the ids; None where it was halved often enough."""
        middle = len(self.ids) // 2
        if not middle or self.halvings >= MOST_HALVINGS:
            return None
        more = self.halvings + 1
        return replace(self, ids=self.ids[:middle], halvings=more), replace(self, ids=self.ids[middle:], halvings=more)


def split(query: Query, pieces: int = 1) -> Iterator[Query]:
    """The query in at least so many pieces, each of a length that Salesforce takes; none where there are no ids."""
    around = len(replace(query, ids=()).text())
    longest = max((len(one) for one in query.ids), default=0) + len("'',")
    most = max((MOST_CHARACTERS - around) // longest, 1)
    size = max(min(most, -(-len(query.ids) // pieces)), 1)
    for start in range(0, len(query.ids), size):
        yield replace(query, ids=query.ids[start : start + size])


def literal(text: str) -> str:
    """A text in quotes."""
    return f"'{text.translate(_ESCAPES)}'"


def instant(at_ms: int) -> str:
    """An instant as SOQL reads it: unquoted, UTC."""
    return iso(from_ms(at_ms), "milliseconds")


def iso(at: datetime, precision: str = "seconds") -> str:
    """An instant in UTC, written with a Z, as a plus sign would have to be escaped."""
    return at.isoformat(timespec=precision).replace("+00:00", "Z")


def one_of(field: str, texts: Sequence[str]) -> str:
    """The condition that a field holds one of these texts."""
    return f"{name(field)} IN ({_listed(texts)})"


def name(text: str) -> str:
    """A name of an object or field, as it is; ValueError where it is none."""
    if not _NAME.fullmatch(text):
        raise ValueError("a name in SOQL has letters, digits and underscores only")
    return text


def _listed(texts: Sequence[str]) -> str:
    return ",".join(map(literal, texts))
