"""Prometheus metrics in a registry that is passed in. Labels are names from the configuration and closed words only."""

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class SeenRequest(Protocol):
    """What a hook of the http room tells of one request."""

    @property
    def vendor(self) -> str:
        """The vendor's kind."""
        ...

    @property
    def status(self) -> int | None:
        """The HTTP status, None where no answer came."""
        ...

    @property
    def outcome(self) -> str:
        """A closed word."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...

    @property
    def budget(self) -> str:
        """The rate budget it drew from."""
        ...


class Metrics:
    """All metrics of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._requests = Counter(
            "leadloop_vendor_requests",
            "Requests to vendors from this process",
            ("vendor", "budget", "status", "outcome"),
            registry=registry,
        )
        self._request_seconds = Histogram(
            "leadloop_vendor_request_seconds", "Duration of a request", ("vendor",), buckets=_SECONDS, registry=registry
        )
        self._recorded = Counter(
            "leadloop_recorded", "Rows written by recordings of this process", ("source", "what"), registry=registry
        )
        self._drained = Counter(
            "leadloop_deliveries_drained",
            "Deliveries by what became of their turn in this process",
            ("destination", "outcome"),
            registry=registry,
        )
        self._answered = Counter(
            "leadloop_http_requests",
            "Requests that this process answered, by the template of their path",
            ("method", "path", "status"),
            registry=registry,
        )
        self._due = Gauge("leadloop_deliveries_due", "Deliveries that are due now", ("destination",), registry=registry)
        self._oldest = Gauge("leadloop_oldest_due_seconds", "Age of the oldest due delivery", ("destination",), registry=registry)
        self._lag = Gauge("leadloop_source_lag_seconds", "How far behind a source is read", ("source",), registry=registry)
        self._paused = Gauge("leadloop_connection_paused", "1 while paused", ("role", "connection"), registry=registry)
        self._jobs = Counter("leadloop_job_runs", "Runs of jobs in this process", ("job", "outcome"), registry=registry)

    def on_request(self, seen: SeenRequest) -> None:
        """A hook for the http room: count and time one request."""
        status = "none" if seen.status is None else str(seen.status)
        self._requests.labels(seen.vendor, seen.budget, status, str(seen.outcome)).inc()
        self._request_seconds.labels(seen.vendor).observe(seen.seconds)

    def on_recorded(self, source: str, *, records: int, entries: int, conversions: int) -> None:
        """A page was recorded."""
        self._recorded.labels(source, "records").inc(records)
        self._recorded.labels(source, "entries").inc(entries)
        self._recorded.labels(source, "conversions").inc(conversions)

    def on_drained(self, destination: str, *, accepted: int, rejected: int, waiting: int, stopped: int) -> None:
        """A destination had its turn."""
        for outcome, count in (("accepted", accepted), ("rejected", rejected), ("waiting", waiting), ("stopped", stopped)):
            self._drained.labels(destination, outcome).inc(count)

    def on_answered(self, method: str, path: str, status: int) -> None:
        """A door answered; `path` is a template, never what was called."""
        self._answered.labels(method, path, str(status)).inc()

    def on_job(self, job: str, failed: bool) -> None:  # noqa: FBT001 as the job table tells it
        """A job ran."""
        self._jobs.labels(job, "failed" if failed else "ok").inc()

    def forget_connections(self) -> None:
        """Before all connections are shown: one that is gone is told no more."""
        for gauge in (self._due, self._oldest, self._lag, self._paused):
            gauge.clear()

    def show_backlog(self, destination: str, due: int, oldest_seconds: float) -> None:
        """What waits for a destination now."""
        self._due.labels(destination).set(due)
        self._oldest.labels(destination).set(oldest_seconds)

    def show_lag(self, source: str, seconds: float) -> None:
        """How far the settled part of a source is behind now."""
        self._lag.labels(source).set(seconds)

    def show_paused(self, role: str, connection: str, *, paused: bool) -> None:
        """Whether a connection is paused."""
        self._paused.labels(role, connection).set(int(paused))

    def render(self) -> bytes:
        """The text that a Prometheus server reads."""
        return generate_latest(self._registry)
