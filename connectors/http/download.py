"""Fetching a file that a vendor made for us, from an address that it names: without our credentials, bounded in size."""

import httpx

from connectors.contract.errors import Effect, Unavailable, UnexpectedReply
from connectors.http.reply import READ_TIMEOUT

MOST_BYTES = 50_000_000


class Downloads:
    """GET of a vendor's own address; the address is a secret and stays out of messages."""

    def __init__(self, client: httpx.AsyncClient, vendor: str, most_bytes: int = MOST_BYTES) -> None:
        self._client = client
        self._vendor = vendor
        self._most_bytes = most_bytes

    async def fetch(self, url: str) -> bytes:
        """The file's bytes. Raises Unavailable where it cannot be had, UnexpectedReply where it is too large."""
        if not url.startswith(("https://", "http://")):
            raise UnexpectedReply(f"{self._vendor} names no address to download from", effect=Effect.NONE)
        content = bytearray()
        try:
            async with self._client.stream("GET", url, timeout=READ_TIMEOUT, follow_redirects=False) as response:
                if response.status_code != httpx.codes.OK:
                    said = f"{self._vendor}'s file: answered {response.status_code}"
                    raise Unavailable(said, effect=Effect.NONE, status=response.status_code)
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > self._most_bytes:
                        raise UnexpectedReply(
                            f"{self._vendor}'s file is larger than {self._most_bytes:,} bytes", effect=Effect.NONE
                        )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            name = type(error).__name__
            raise Unavailable(f"{self._vendor}'s file: no connection ({name})", effect=Effect.NONE) from None
        return bytes(content)
