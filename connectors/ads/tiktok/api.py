"""GET below one token: an answer's data, or the error that its code means."""

from collections.abc import Callable, Mapping
from datetime import datetime

from connectors.ads.tiktok.errors import SUCCESS
from connectors.ads.tiktok.refusals import failure_of, read_answer
from connectors.contract.errors import RequestRefused
from connectors.http.client import HttpClient, Params
from connectors.upload.json_values import as_object


class Api:
    """Reading what an ad account holds."""

    def __init__(self, http: HttpClient, version: str, clock: Callable[[], datetime]) -> None:
        self._http = http
        self._root = f"/open_api/{version}"
        self._clock = clock

    async def read(self, path: str, params: Params) -> Mapping[str, object]:
        """The `data` of an answer. Raises ConnectorError where the call failed or its code is no success."""
        reply = await self._http.read("GET", self._root + path, params=params)
        answer = read_answer(reply)
        failure = failure_of(answer, reply, self._clock())
        if failure is not None:
            raise failure
        if answer.code != SUCCESS:
            raise RequestRefused(f"TikTok: {answer.text} {answer.message}".strip(), code=answer.text, status=reply.status)
        return as_object(as_object(reply.body).get("data"))
