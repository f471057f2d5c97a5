"""The process's settings from its environment, and the config file read into sections. Nothing is stored or opened here."""

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.db.address import usable_url
from app.references import ReferenceUnresolved, resolve_reference

PREFIX = "LEADLOOP_"
LEAST_SECRET_CHARACTERS = 16
LARGEST_FILE_BYTES = 1_000_000
MOST_NODES = 100_000
DEEPEST = 40
TOP_LEVEL = ("sources", "destinations", "mappings")
# What a mapping document has and a config file has not, at the top.
DOCUMENT_ONLY = frozenset({"identity", "consent", "milestones"})

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


# The environment ------------------------------------------------------------------------------------------------------


class SettingsInvalid(Exception):
    """The environment does not make usable settings; the message names each variable and what to do."""


class ProcessRole(StrEnum):
    """What a process does; by default all of it."""

    API = "api"
    SCHEDULER = "scheduler"
    WORKER = "worker"


class LogFormat(StrEnum):
    """One JSON object a line, or lines for a terminal."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least level that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(BaseSettings):
    """The environment variables `LEADLOOP_*`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    database_url: Annotated[str, AfterValidator(usable_url)] = Field(default="sqlite:///leadloop.db", repr=False)
    secret_key: SecretStr | None = None
    secret_key_file: Path | None = None
    config: Path | None = None
    api_key: SecretStr | None = None
    public_url: str | None = None
    allow_custom_base_urls: bool = False
    roles: Annotated[frozenset[ProcessRole], NoDecode] = frozenset(ProcessRole)
    metrics_open: bool = False
    log_format: LogFormat = LogFormat.JSON
    log_level: LogLevel = LogLevel.INFO
    keep_people_days: PositiveInt = 400
    keep_tries_days: PositiveInt = 90
    keep_audit_days: PositiveInt = 400

    @field_validator("roles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return frozenset(part.strip().lower() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("log_format", "log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://")):
            raise ValueError("must start with https:// or http://")
        return None if value is None else value.rstrip("/")

    def secret_texts(self) -> tuple[str, ...]:
        """The texts of the secret key, newest first; SettingsInvalid where there is none or one is too short."""
        texts = tuple(part.strip() for part in self._secret_source().split(",") if part.strip())
        if not texts:
            raise SettingsInvalid(
                "No secret key: set LEADLOOP_SECRET_KEY (or LEADLOOP_SECRET_KEY_FILE) to a long random text, for example the "
                "output of `openssl rand -base64 32`, and keep it: stored credentials and identities cannot be read without it."
            )
        if any(len(part) < LEAST_SECRET_CHARACTERS for part in texts):
            raise SettingsInvalid(f"Each secret key needs at least {LEAST_SECRET_CHARACTERS} characters.")
        return texts

    def _secret_source(self) -> str:
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        if self.secret_key_file is None:
            return ""
        try:
            return self.secret_key_file.read_text(encoding="utf-8").replace("\n", ",")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsInvalid(f"LEADLOOP_SECRET_KEY_FILE cannot be read: {self.secret_key_file}") from error


def load_settings() -> Settings:
    """The settings of this process's environment; SettingsInvalid names every wrong variable."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"{PREFIX}{'_'.join(map(str, fault['loc'][:1])).upper()}: {fault['msg']}" for fault in error.errors()]
        raise SettingsInvalid("; ".join(wrong)) from None


# The config file ------------------------------------------------------------------------------------------------------


class ConnectionMode(StrEnum):
    """`shadow`: everything is built and checked, nothing is sent. `paused`: an operator stopped it."""

    LIVE = "live"
    SHADOW = "shadow"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a config file or document; `nearest` is what was probably meant."""

    path: str
    message: str
    nearest: str | None = None

    def __str__(self) -> str:
        meant = f" (did you mean {self.nearest!r}?)" if self.nearest else ""
        return f"{self.path}: {self.message}{meant}" if self.path else f"{self.message}{meant}"


class ConfigInvalid(Exception):
    """A config file with mistakes; nothing of it was applied."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class FileSection:
    """A source or a destination of the file. References in `settings` are kept as they are written."""

    kind: str
    settings: Mapping[str, str] = field(repr=False)
    section_hash: str
    mode: ConnectionMode | None = None


@dataclass(frozen=True, slots=True)
class MappingSection:
    """The mapping of one source, by the source's name; `data` holds what JSON can hold."""

    data: Mapping[str, object]
    section_hash: str


@dataclass(frozen=True, slots=True)
class FileConfig:
    """A config file, each part keyed by name."""

    sources: Mapping[str, FileSection] = field(default_factory=dict)
    destinations: Mapping[str, FileSection] = field(default_factory=dict)
    mappings: Mapping[str, MappingSection] = field(default_factory=dict)


def load_file(path: Path, environ: Mapping[str, str]) -> FileConfig:
    """Read a config file whole; ConfigInvalid lists every mistake with its line. References are checked, not resolved."""
    reader = _Reader(environ)
    return _read(reader, reader.parse(path))


def load_mappings(path: Path) -> FileConfig:
    """A config file whose references may stand for nothing here, or a mapping alone, which is then of the source ""."""
    reader = _Reader(None)
    root = reader.parse(path)
    keys = {key.value for key, _ in root.value} if isinstance(root, yaml.MappingNode) else set()
    if root is None or not keys & DOCUMENT_ONLY or keys & {"sources", "mappings"}:
        return _read(reader, root)
    data = reader.document(root, "")
    if reader.mistakes or data is None:
        raise ConfigInvalid(reader.mistakes)
    return FileConfig(mappings={"": MappingSection(data=data, section_hash=section_hash(data))})


def _read(reader: "_Reader", root: yaml.Node | None) -> FileConfig:
    found: dict[str, yaml.Node] = {}
    for key, node in reader.pairs(root, ""):
        if key in TOP_LEVEL:
            found[key] = node
        else:
            reader.add(node, key, f"unknown; the file has {', '.join(TOP_LEVEL)}", nearest(key, TOP_LEVEL))
    config = FileConfig(
        sources=dict(reader.connections(found.get("sources"), "sources")),
        destinations=dict(reader.connections(found.get("destinations"), "destinations")),
        mappings=dict(reader.mappings(found.get("mappings"))),
    )
    if reader.mistakes:
        raise ConfigInvalid(reader.mistakes)
    return config


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that is most like the word, None where none is."""
    by_lower = {choice.lower(): choice for choice in choices}
    return next((by_lower[match] for match in difflib.get_close_matches(word.lower(), by_lower, n=1)), None)


def is_name(text: str) -> bool:
    """Whether a connection may be named so."""
    return _NAME.fullmatch(text) is not None


def section_hash(value: object) -> str:
    """SHA-256 of the canonical JSON: key order and YAML style make no difference, list order does."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of scalars: `no` is a country, `2026-11-22` a text, `0123` an id."""


_Loader.yaml_implicit_resolvers = {}
_INT, _FLOAT, _BOOL, _NULL, _STR = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null", "str"))
for _tag, _pattern, _first in (
    (_NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (_BOOL, r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (_INT, r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    (_FLOAT, r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})$"), _first)
_SCALARS: Mapping[str, Callable[[str], object]] = {
    _STR: str,
    _INT: int,
    _FLOAT: float,
    _BOOL: lambda text: text.lower() == "true",
    _NULL: lambda _text: None,
}


class _Reader:
    """Walks the nodes of a file and collects every mistake."""

    def __init__(self, environ: Mapping[str, str] | None) -> None:
        """`environ` None: references are not looked at."""
        self.mistakes: list[Mistake] = []
        self._environ = environ
        self._nodes = 0

    def add(self, node: yaml.Node, path: str, message: str, meant: str | None = None) -> None:
        """Note a mistake at a node."""
        mark = node.start_mark
        self.mistakes.append(Mistake(path, f"line {mark.line + 1}, column {mark.column + 1}: {message}", meant))

    def parse(self, path: Path) -> yaml.Node | None:
        """The root node; ConfigInvalid at once where the text is no YAML."""
        try:
            if path.stat().st_size > LARGEST_FILE_BYTES:
                raise ConfigInvalid([Mistake("", f"{path} is larger than {LARGEST_FILE_BYTES} bytes")])
            root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigInvalid([Mistake("", f"{path} cannot be read as a UTF-8 file")]) from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
            raise ConfigInvalid([Mistake("", f"{where}{error.problem or error.context}")]) from None
        except (yaml.YAMLError, RecursionError):
            raise ConfigInvalid([Mistake("", f"{path} is not readable YAML")]) from None
        return root

    def pairs(self, node: yaml.Node | None, path: str) -> Iterator[tuple[str, yaml.Node]]:
        """Keys and value nodes of a mapping; an empty one counts as none."""
        if node is None or _is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self.add(node, path, "must hold `name: value` lines")
            return
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.add(key, path, "a key must be a plain word")
            elif key.value in seen:
                self.add(key, _join(path, key.value), "stands here twice")
            else:
                seen.add(key.value)
                yield key.value, value

    def connections(self, node: yaml.Node | None, path: str) -> Iterator[tuple[str, FileSection]]:
        """The sources or destinations."""
        for name, section in self.pairs(node, path):
            here = _join(path, name)
            self._check_name(section, here, name)
            settings = {key: self._text(value, _join(here, key)) for key, value in self.pairs(section, here)}
            kind, mode = settings.pop("kind", ""), self._mode(section, here, settings.pop("mode", None))
            if not kind:
                self.add(section, here, "lacks `kind`, for example `kind: hubspot`")
            hashed = section_hash({"kind": kind, "mode": mode, "settings": settings})
            yield name, FileSection(kind=kind, settings=settings, section_hash=hashed, mode=mode)

    def mappings(self, node: yaml.Node | None) -> Iterator[tuple[str, MappingSection]]:
        """The mapping documents."""
        for name, section in self.pairs(node, "mappings"):
            here = _join("mappings", name)
            self._check_name(section, here, name)
            data = self.document(section, here)
            if data is not None:
                yield name, MappingSection(data=data, section_hash=section_hash(data))

    def document(self, node: yaml.Node, path: str) -> Mapping[str, object] | None:
        """One mapping document, as JSON would hold it; None where it is none."""
        data = self._plain(node, path, 0)
        if isinstance(data, dict):
            return data
        self.add(node, path, "must be a mapping document")
        return None

    def _check_name(self, node: yaml.Node, path: str, name: str) -> None:
        if not _NAME.fullmatch(name):
            self.add(node, path, "a name has letters, digits, `-`, `_` and `.`, at most 63, and starts with a letter or digit")

    def _mode(self, node: yaml.Node, path: str, text: str | None) -> ConnectionMode | None:
        if text is None:
            return None
        if text in set(ConnectionMode):
            return ConnectionMode(text)
        self.add(node, _join(path, "mode"), f"must be one of {', '.join(ConnectionMode)}", nearest(text, ConnectionMode))
        return None

    def _text(self, node: yaml.Node, path: str) -> str:
        """A setting exactly as it is written (so that `0123` keeps its zero); a list of plain values joined by commas."""
        if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
            return ",".join(self._text(item, path) for item in node.value)
        if not isinstance(node, yaml.ScalarNode):
            self.add(node, path, "must be one plain value or a list of them")
        elif _is_null(node):
            self.add(node, path, "has no value; leave the line out or write one")
        else:
            try:
                if self._environ is not None:
                    resolve_reference(node.value, self._environ)
            except ReferenceUnresolved as error:
                self.add(node, path, str(error))
            return str(node.value).lower() if node.tag == _BOOL else str(node.value)
        return ""

    def _plain(self, node: yaml.Node, path: str, depth: int) -> object:
        """The node as JSON would hold it."""
        self._nodes += 1
        if depth > DEEPEST or self._nodes > MOST_NODES:
            raise ConfigInvalid([*self.mistakes, Mistake(path, "is nested too deeply, or aliases make it too large")])
        if isinstance(node, yaml.MappingNode):
            return {key: self._plain(value, _join(path, key), depth + 1) for key, value in self.pairs(node, path)}
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, f"{path}[{place}]", depth + 1) for place, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: str) -> object:
        try:
            return _SCALARS[node.tag](node.value)
        except (KeyError, ValueError):
            self.add(node, path, "is not a text, a number, true, false or null")
            return None


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
