"""The two doors without a key: alive, and ready to work. They name nothing."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response, status

Ready = Callable[[], Awaitable[bool]]


def health_doors(is_ready: Ready) -> APIRouter:
    """`/healthz` answers while the process runs, `/readyz` once it may take work (503 before)."""
    doors = APIRouter(tags=["health"])

    @doors.get("/healthz", summary="The process is alive", responses={200: _example("ok")})
    async def healthz() -> dict[str, str]:
        """Answer without looking at anything."""
        return {"status": "ok"}

    @doors.get(
        "/readyz",
        summary="The service may take work",
        responses={200: _example("ready"), 503: {"description": "Not ready", **_example("not ready")}},
    )
    async def readyz(response: Response) -> dict[str, str]:
        """Answer 503 where the database cannot be reached or the clocks disagree."""
        if await is_ready():
            return {"status": "ready"}
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return {"status": "not ready"}

    return doors


def _example(word: str) -> dict[str, object]:
    return {"content": {"application/json": {"example": {"status": word}}}}
