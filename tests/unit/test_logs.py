import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import structlog
from prometheus_client import CollectorRegistry

from app.telemetry.logs import configure_logs
from app.telemetry.metrics import Metrics
from app.telemetry.scrub import scrub

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "personal",
    [
        "jane.doe+ads@mail.example.com",
        "jörg@bücher.example",
        "jane%40example.com",
        "+14155552671",
        "+49 (0)30 1234-5678",
        "%2B14155552671",
        "004915112345678",
        "(415) 555-2671",
        "415.555.2671",
        "020 7946 0958",
        "06 12 34 56 78",
        "0171 1234567",
        "015112345678",
        "4155552671",
        HASH,
        HASH.upper(),
        "Bearer abc.DEF-123456",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "pat-na1-12345678-aaaa-bbbb",
        "access_token=abc123def",
        '"client_secret": "abc123def"',
        "postgresql://leadloop:hunter2@db/leadloop",
    ],
)
@pytest.mark.parametrize("frame", ["{}", "refused: {} is unknown", "a,{};b"])
def test_personal_data_and_secrets_leave_text(personal: str, frame: str) -> None:
    """Vendors quote what they refuse, so every form in which a person or a token is written must go."""
    cleaned = scrub(frame.format(personal))

    assert personal not in cleaned
    assert "[redacted]" in cleaned
    for piece in ("jane", "bücher", "2671", "5678", "0958", "hunter2", "abc123def", "DEF-123456", "9f86d081"):
        assert piece not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "contact:12345678901 at 2026-11-24T10:00:00.000Z",
        "2026-11-24 10:00:00",
        "deal/9 of hubspot: HTTP 429, retry after 10 s",
        "llabcdefghijklmnopqrstuvwxyz",
        "127.0.0.1:8080",
        "took 0.1234 s, 1000 rows, lead 4711",
        "INVALID_CONVERSION_ACTION 7302219941x",
    ],
)
def test_what_an_operator_needs_stays(text: str) -> None:
    """A scrubber that eats refs, instants and codes makes the trace useless."""
    assert scrub(text) == text


def _fail() -> None:
    raise ValueError("cannot reach jane@example.com")


def _log_everything() -> None:
    log = structlog.get_logger("app.test")
    try:
        _fail()
    except ValueError:
        log.exception("person.failed", detail={"email": "x", "list": ["+14155552671", b"bytes"]}, deal_id="12345678901")
    log.info("token.saved", access_token="abc", webhook_secret="abc2", nested={"Authorization": "abc3"}, count=3)
    logging.getLogger("uvicorn.error").warning("from %s with Bearer %s", "jane@example.com", "abcdef123456")


@pytest.mark.parametrize("as_json", [True, False])
def test_no_line_holds_personal_data_whoever_logs_it(stream: io.StringIO, *, as_json: bool) -> None:
    """Exceptions, nested values and other libraries' records are the usual leaks (P5)."""
    configure_logs(as_json=as_json, level="info", stream=stream)

    _log_everything()
    written = stream.getvalue()

    for secret in ("jane@", "4155552671", "abc", "bytes'"):
        assert secret not in written
    for kept in ("person.failed", "token.saved", "ValueError", "12345678901", "uvicorn.error"):
        assert kept in written


def test_json_lines_are_one_object_each(stream: io.StringIO) -> None:
    """Log collectors read line by line."""
    configure_logs(as_json=True, level="info", stream=stream)

    _log_everything()
    structlog.get_logger("app.test").debug("below.level")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]

    assert [line["event"] for line in lines][:2] == ["person.failed", "token.saved"]
    assert [line["level"] for line in lines] == ["error", "info", "warning"]
    assert lines[1]["count"] == 3
    assert lines[1]["access_token"] == "[redacted]"
    assert lines[0]["timestamp"].startswith("20")


@dataclass(frozen=True)
class _Seen:
    vendor: str = "hubspot"
    method: str = "GET"
    status: int | None = 200
    outcome: str = "ok"
    seconds: float = 0.3
    budget: str = "search"


def test_metrics_live_in_the_registry_given() -> None:
    """Two applications in one process (tests, demo) must not share or clash over metrics."""
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())

    first.on_request(_Seen())
    first.on_request(_Seen(status=None, outcome="timeout"))
    first.on_drained("google", accepted=3, rejected=0, waiting=1, stopped=0)
    text = first.render().decode()

    assert 'leadloop_vendor_requests_total{budget="search",outcome="ok",status="200",vendor="hubspot"} 1.0' in text
    assert 'status="none"' in text
    assert 'leadloop_deliveries_drained_total{destination="google",outcome="accepted"} 3.0' in text
    assert 'vendor="hubspot"' not in second.render().decode()
