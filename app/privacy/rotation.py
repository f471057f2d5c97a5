"""Rotation of the secret key: everything sealed is sealed again under the newest one, while the service runs."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.access.repository import add_audit
from app.db.instants import to_ms
from app.db.session import Database
from app.privacy import sealing_repository as sealing
from app.privacy.sealing_repository import PLACES, Place, count_old, old_ones
from app.secrets import Keyring, SecretsUnreadable

log = structlog.get_logger()

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Rotated:
    """By table: how many were sealed again, how many could not be opened with any key, and how many are not newest now.

    `left` beyond the unreadable ones were written meanwhile by a process that still seals with an old key.
    """

    resealed: Mapping[str, int]
    unreadable: Mapping[str, int]
    left: Mapping[str, int]

    @property
    def is_complete(self) -> bool:
        """True where no value is sealed under an old key any more."""
        return not sum(self.left.values())


@dataclass(frozen=True, slots=True)
class Rotation:
    """Can be cut off and begun again: what is sealed under the newest key is left alone."""

    database: Database
    keyring: Keyring
    clock: Callable[[], datetime]

    async def run(self, *, actor: str) -> Rotated:
        """Seal everything again, a batch a transaction, then count what is left."""
        resealed, unreadable, left = Counter[str](), Counter[str](), Counter[str]()
        for place in PLACES:
            await self._place(place, resealed, unreadable)
        async with self.database.read_long() as connection:
            for place in PLACES:
                left[place.name] += await count_old(connection, place, self.keyring.newest_id)
        rotated = Rotated(dict(+resealed), dict(+unreadable), dict(+left))
        detail = {"resealed": rotated.resealed, "unreadable": rotated.unreadable, "left": rotated.left}
        async with self.database.write() as connection:
            now_ms = to_ms(self.clock())
            await add_audit(connection, actor=actor, action="secrets.rotate", subject="secrets", detail=detail, now_ms=now_ms)
        await self.database.wipe()
        log.info("secrets.rotated", **detail)
        return rotated

    async def _place(self, place: Place, resealed: Counter[str], unreadable: Counter[str]) -> None:
        after: object | None = None
        while True:
            async with self.database.read() as connection:
                rows = await old_ones(connection, place, self.keyring.newest_id, after, BATCH)
            if not rows:
                return
            after = rows[-1][0]
            again = []
            for key, old in rows:
                try:
                    again.append((key, old, self.keyring.seal(self.keyring.open(old))))
                except SecretsUnreadable:
                    unreadable[place.name] += 1
            if again:
                async with self.database.write() as connection:
                    resealed[place.name] += await sealing.reseal(connection, place, again)
