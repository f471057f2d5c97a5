"""The door for a Prometheus server: what this process counted, and how things stand by the database when it is asked."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.house import house_of
from app.reports.status import Status
from app.telemetry.metrics import Metrics

doors = APIRouter(tags=["health"])

EXAMPLE = 'leadloop_deliveries_due{destination="google"} 12.0\n'


@doors.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "In the text format of Prometheus",
            "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
        }
    },
)
async def metrics_door(request: Request) -> Response:
    """Counters are this process's own; what is due, read and paused is the whole deployment's. Needs a key, of any role, unless
    LEADLOOP_METRICS_OPEN is set.
    """  # noqa: D205 one paragraph for the contract's page
    services = house_of(request.app.state).open()
    _show(services.metrics, await services.status())
    return Response(services.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _show(metrics: Metrics, status: Status) -> None:
    """Set what is told of now; of connections that are gone nothing is told any more."""
    metrics.forget_connections()
    for source in status.sources:
        lag = max(((status.now - one.read_to).total_seconds() for one in source.polls), default=0)
        metrics.show_lag(source.name, max(0, lag))
        metrics.show_paused("source", source.name, paused=source.pause is not None)
    for destination in status.destinations:
        oldest = destination.owed.oldest_due_at
        metrics.show_backlog(
            destination.name, destination.owed.due, 0 if oldest is None else (status.now - oldest).total_seconds()
        )
        metrics.show_paused("destination", destination.name, paused=destination.pause is not None)
