"""What the readers of a source share: one reads a source at a time, by poll, backfill or reapply."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from app.db.session import Database
from app.ingest.pull_lease import PullLease, pull_lease
from app.ingest.recorder import Recorder


class LeasedReader:
    """What every reader of a source works with, and the lease that keeps them apart."""

    def __init__(
        self,
        database: Database,
        recorder: Recorder,
        holder: str,
        clock: Callable[[], datetime],
        *,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._holder = holder
        self._clock = clock
        self._is_stopping = is_stopping

    def leased(self, source_id: int) -> AbstractAsyncContextManager[PullLease | None]:
        """The lease under which all that a source tells is written; None inside where another has it."""
        return pull_lease(self._database, source_id, self._holder, self._clock())
