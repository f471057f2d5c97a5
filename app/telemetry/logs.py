"""Logs: structlog for us, and the standard library's records (uvicorn, APScheduler) through the same redaction."""

import logging
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.telemetry.scrub import REDACTED, is_secret_name, scrub, scrubber_for

DEEPEST = 6
_SAFE = (bool, int, float, datetime, date, timedelta)
_UNTOUCHED = frozenset({"timestamp", "level"})
_INTERNAL = frozenset({"_record", "_from_structlog"})
_SELF_WILLED = ("uvicorn", "uvicorn.error", "uvicorn.access")
_NOISY = ("apscheduler", "uvicorn.access", "httpx", "httpcore", "aiosqlite", "sqlalchemy.engine", "alembic")


def configure_logs(*, as_json: bool, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Configure structlog and the root logger, once at start: one line an event, redacted, JSON or for a terminal."""
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, _renderer(as_json=as_json)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _SELF_WILLED:
        # uvicorn configures its loggers by itself wherever it was started before.
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
        logging.getLogger(name).setLevel(logging.NOTSET)
        logging.getLogger(name).disabled = False
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The last processor before rendering: no secret by its name, no personal data by its look, at any depth."""
    return {
        name if name in _UNTOUCHED else scrub(name): value if name in _UNTOUCHED | _INTERNAL else _clean(name, value, 0)
        for name, value in event.items()
    }


def _clean(name: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if is_secret_name(name):
        return REDACTED
    if isinstance(value, _SAFE):
        return value
    if isinstance(value, str):
        return scrubber_for(name)(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if depth >= DEEPEST:
        return "[too deep]"
    if isinstance(value, Mapping):
        return {scrub(str(key)): _clean(str(key), inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [_clean(name, inner, depth + 1) for inner in value]
    return scrub(str(value) if isinstance(value, BaseException) else repr(value))


def _renderer(*, as_json: bool) -> Processor:
    if as_json:
        return structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
