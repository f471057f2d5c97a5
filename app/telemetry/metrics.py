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
            "Requests to vendors",
            ("vendor", "budget", "status", "outcome"),
            registry=registry,
        )
        self._request_seconds = Histogram(
            "leadloop_vendor_request_seconds", "Duration of a request", ("vendor",), buckets=_SECONDS, registry=registry
        )
        self._recorded = Counter("leadloop_recorded", "Rows written by recordings", ("source", "what"), registry=registry)
        self._settled = Counter(
            "leadloop_deliveries_settled",
            "Deliveries by what became of them",
            ("destination", "kind", "state"),
            registry=registry,
        )
        self._due = Gauge("leadloop_deliveries_due", "Deliveries that are due now", ("destination",), registry=registry)
        self._oldest = Gauge("leadloop_oldest_due_seconds", "Age of the oldest due delivery", ("destination",), registry=registry)
        self._lag = Gauge("leadloop_source_lag_seconds", "How far behind a source is read", ("source",), registry=registry)
        self._paused = Gauge("leadloop_connection_paused", "1 while paused", ("role", "connection"), registry=registry)
        self._jobs = Counter("leadloop_job_runs", "Runs of jobs", ("job", "outcome"), registry=registry)

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

    def on_settled(self, destination: str, kind: str, state: str, count: int = 1) -> None:
        """Deliveries reached a state."""
        self._settled.labels(destination, kind, state).inc(count)

    def on_job(self, job: str, *, failed: bool) -> None:
        """A job ran."""
        self._jobs.labels(job, "failed" if failed else "ok").inc()

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
