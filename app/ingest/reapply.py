"""Reapplying a mapping: the engine runs again over what is stored, batch by batch, under the polls' lease; no CRM is asked."""

from dataclasses import replace

from app.ingest import reapply_repository as repository
from app.ingest.backfill import TurnLimits
from app.ingest.context import SourceContext
from app.ingest.leased_reader import LeasedReader
from app.ingest.poller import Pulled, summed
from app.ingest.pull_lease import PullLease
from app.ingest.reapply_repository import ReapplyMove, ReapplyRow
from app.ingest.recorder import Recorded

RECORDS_A_BATCH = 500


class Reapplier(LeasedReader):
    """Runs the engine over a source's stored records; what it committed stays, and it goes on from there after a kill."""

    async def turn(self, source: SourceContext, row: ReapplyRow, limits: TurnLimits) -> Pulled:
        """Go on for one turn; `has_more` where it is not done. Where another process reads the source nothing happens."""
        pulled = Pulled()
        if self._is_stopping():
            return pulled
        until = self._clock() + limits.budget
        chosen = replace(source, renews_values=row.restates)
        async with self.leased(source.id) as lease:
            if lease is None:
                return Pulled(is_busy=True)
            after: int | None = row.after
            while after is not None:
                recorded, seen, after = await self._batch(chosen, row, after, lease)
                pulled = summed(pulled, Pulled(recorded, 1, seen))
                is_over = pulled.pages >= limits.pages or self._clock() >= until or limits.is_wanted_elsewhere()
                if after is not None and (self._is_stopping() or is_over):
                    return replace(pulled, has_more=True)
        return pulled

    async def _batch(
        self, source: SourceContext, row: ReapplyRow, after: int, lease: PullLease
    ) -> tuple[Recorded, int, int | None]:
        """What a batch changed, how many records it had, and where to go on, None at the end."""
        async with self._database.read() as connection:
            batch = await repository.stored_after(connection, source.id, after, row.until, RECORDS_A_BATCH)
        move = ReapplyMove(row.run_id, row.until if batch.last is None else batch.last, len(batch), is_last=batch.last is None)
        recorded = await self._recorder.reapply(source, batch, self._clock(), lease, move)
        return recorded, len(batch), batch.last
