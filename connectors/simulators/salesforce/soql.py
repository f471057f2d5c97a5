"""The text of a query, read into its parts: the subset of SOQL that readers of change windows use."""

import re
from dataclasses import dataclass

from connectors.simulators.salesforce.errors import Refusal, malformed
from connectors.simulators.salesforce.instants import parse_instant

LONGEST = 100_000
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')"
    r"|(?P<instant>\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)"
    r"|(?P<sign><=|>=|!=|<>|[=<>(),]))",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "_": "\\_", "%": "\\%"}
_SIGNS = frozenset({"=", "!=", "<>", "<", "<=", ">", ">="})
_RESERVED = frozenset({"select", "from", "where", "and", "or", "not", "in", "like", "order", "limit", "offset", "null"})


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in a query. `kind` is text, instant (milliseconds), date, number, boolean or null."""

    kind: str
    value: str | float | bool | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path sign literal`; the sign is one of = != < <= > >= like."""

    path: str
    sign: str
    literal: Literal


@dataclass(frozen=True, slots=True)
class Membership:
    """`path [not] in (...)`, of literals or of another query."""

    path: str
    among: "tuple[Literal, ...] | Query"
    is_negated: bool


@dataclass(frozen=True, slots=True)
class Not:
    """A condition turned round."""

    inner: "Condition"


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions joined by `and` or `or`."""

    word: str
    parts: "tuple[Condition, ...]"


Condition = Comparison | Membership | Not | Junction


@dataclass(frozen=True, slots=True)
class Order:
    """One key to sort by; nulls come first unless told otherwise."""

    path: str
    is_descending: bool = False
    has_nulls_last: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A query; without `paths` it counts."""

    paths: tuple[str, ...]
    entity: str
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0


def parsed(text: str) -> Query:
    """The query that a text holds, or 400 MALFORMED_QUERY."""
    if len(text) > LONGEST:
        raise malformed(f"SOQL statements cannot be longer than {LONGEST} characters.")
    reader = _Reader(_tokens(text))
    query = reader.query()
    reader.end()
    return query


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise malformed(f"unexpected token: '{text[at : at + 10].strip()[:1]}'")
        tokens.append((found.lastgroup, found.group(found.lastgroup)))
        at = found.end()
    return tokens


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def query(self) -> Query:
        self._word("select")
        paths = self._paths()
        self._word("from")
        entity = self._name()
        where = self._condition() if self._takes("where") else None
        order = self._order() if self._takes("order") else ()
        limit = self._whole_number() if self._takes("limit") else None
        offset = self._whole_number() if self._takes("offset") else 0
        return Query(paths, entity, where, order, limit, offset)

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self._unexpected()

    def _paths(self) -> tuple[str, ...]:
        if self._is_word("count") and self._peek(1) == ("sign", "("):
            self._at += 2
            self._sign(")")
            return ()
        paths = [self._name()]
        while self._takes_sign(","):
            paths.append(self._name())
        return tuple(paths)

    def _condition(self) -> Condition:
        """Units joined by one word; AND and OR side by side need parentheses, as at the vendor."""
        parts = [self._unit()]
        word = "and" if self._is_word("and") else "or"
        while self._takes(word):
            parts.append(self._unit())
        if self._is_word("and") or self._is_word("or"):
            raise self._unexpected()
        return parts[0] if len(parts) == 1 else Junction(word, tuple(parts))

    def _unit(self) -> Condition:
        if self._takes("not"):
            return Not(self._unit())
        if self._takes_sign("("):
            inner = self._condition()
            self._sign(")")
            return inner
        path = self._name()
        if self._takes("like"):
            return Comparison(path, "like", self._literal())
        is_negated = self._takes("not")
        if self._takes("in"):
            return Membership(path, self._among(), is_negated)
        kind, sign = self._peek()
        if is_negated or kind != "sign" or sign not in _SIGNS:
            raise self._unexpected()
        self._at += 1
        return Comparison(path, "!=" if sign == "<>" else sign, self._literal())

    def _among(self) -> tuple[Literal, ...] | Query:
        self._sign("(")
        if self._is_word("select"):
            query = self.query()
            self._sign(")")
            return query
        literals = [self._literal()]
        while self._takes_sign(","):
            literals.append(self._literal())
        self._sign(")")
        return tuple(literals)

    def _literal(self) -> Literal:
        kind, text = self._peek()
        self._at += 1
        match kind:
            case "text":
                return Literal("text", _unescaped(text[1:-1]))
            case "instant":
                return Literal("instant", _instant(text))
            case "date":
                return Literal("date", text)
            case "number":
                return Literal("number", float(text))
            case "name" if text.lower() in ("true", "false"):
                return Literal("boolean", text.lower() == "true")
            case "name" if text.lower() == "null":
                return Literal("null", None)
        self._at -= 1
        raise self._unexpected()

    def _order(self) -> tuple[Order, ...]:
        self._word("by")
        keys = [self._key()]
        while self._takes_sign(","):
            keys.append(self._key())
        return tuple(keys)

    def _key(self) -> Order:
        path = self._name()
        is_descending = self._takes("desc")
        if not is_descending:
            self._takes("asc")
        has_nulls_last = False
        if self._takes("nulls"):
            has_nulls_last = self._takes("last")
            if not has_nulls_last:
                self._word("first")
        return Order(path, is_descending, has_nulls_last)

    def _whole_number(self) -> int:
        kind, text = self._peek()
        if kind != "number" or not text.isdigit():
            raise self._unexpected()
        self._at += 1
        return int(text)

    def _name(self) -> str:
        kind, text = self._peek()
        if kind != "name" or text.lower() in _RESERVED:
            raise self._unexpected()
        self._at += 1
        return text

    def _word(self, word: str) -> None:
        if not self._takes(word):
            raise self._unexpected()

    def _sign(self, sign: str) -> None:
        if not self._takes_sign(sign):
            raise self._unexpected()

    def _takes(self, word: str) -> bool:
        is_there = self._is_word(word)
        self._at += is_there
        return is_there

    def _takes_sign(self, sign: str) -> bool:
        is_there = self._peek() == ("sign", sign)
        self._at += is_there
        return is_there

    def _is_word(self, word: str) -> bool:
        kind, text = self._peek()
        return kind == "name" and text.lower() == word

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ("end", "<EOF>")

    def _unexpected(self) -> Refusal:
        return malformed(f"unexpected token: '{self._peek()[1][:40]}'")


def _unescaped(text: str) -> str:
    """The text between the quotes; `%` and `_` keep their backslash, for LIKE."""

    def plain(found: re.Match[str]) -> str:
        if found.group(1) not in _ESCAPES:
            raise malformed(f"Invalid string literal. Illegal character sequence '{found.group(0)}' in string literal")
        return _ESCAPES[found.group(1)]

    return re.sub(r"\\(.)", plain, text, flags=re.DOTALL)


def _instant(text: str) -> int:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise malformed(f"line 1:1 no viable alternative at character '{text[:1]}'") from error
