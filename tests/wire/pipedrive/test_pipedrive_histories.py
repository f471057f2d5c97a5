"""Random lives of deals against random polls, webhooks and restarts: the entries are the deal's true history."""

from datetime import datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.contract.records import ObjectKind, RecordRef
from tests.wire.pipedrive.fake_company import change, iso
from tests.wire.pipedrive.history_rig import ADDED, SELECTION, Rig

OPERATIONS = st.one_of(
    st.tuples(st.just("move"), st.integers(1, 4)),
    st.tuples(st.sampled_from(["won", "lost", "open", "touch", "title", "poll", "hint", "restart", "archive"]), st.just(0)),
)


class Life:
    """One deal, moved and read; `truth` is what happened to it."""

    def __init__(self, page: int, history: str) -> None:
        self.history = history
        self.rig = Rig(history=history, daily_tokens="1000000000")
        self.rig.company.changelog_page = page
        self.row = self.rig.company.deal(1, ADDED)
        self.at = ADDED
        self.truth: dict[str, list[tuple[str, datetime]]] = {"stage_id": [("1", ADDED)], "status": [("open", ADDED)]}

    async def live(self, what: str, stage: int) -> None:
        self.at += timedelta(seconds=1)
        match what:
            case "move" if str(stage) != self.truth["stage_id"][-1][0]:
                self.rig.move(stage, self.at)
                self.truth["stage_id"].append((str(stage), self.at))
            case "won" | "lost" | "open" if what != self.row["status"]:
                self.rig.close(what, self.at)
                self.truth["status"].append((what, self.at))
            case "title":
                lines = self.rig.company.changelogs.setdefault("deals/1", [])
                lines.append(change("title", "a", "b", self.at))
                self.row["update_time"] = iso(self.at)
            case "touch":
                self.row["update_time"] = iso(self.at)
            case "archive":
                self.row |= {"is_archived": not self.row["is_archived"], "update_time": iso(self.at)}
            case "poll":
                await self.rig.poll()
            case "hint":
                await self.hint()
            case "restart":
                self.rig.source = self.rig.company.source(history=self.history, daily_tokens="1000000000")
            case _:
                pass

    async def hint(self) -> None:
        ref = RecordRef(ObjectKind.DEAL, "1")
        self.rig.store.take(await self.rig.source.fetch([ref], SELECTION, self.rig.store.stored()))


@settings(max_examples=150, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=40), page=st.integers(1, 5))
@example(operations=[("lost", 0), ("open", 0)], page=5)
@example(operations=[("won", 0), ("open", 0), ("poll", 0), ("won", 0), ("open", 0)], page=1)
async def test_entries_are_the_true_history(operations: list[tuple[str, int]], page: int) -> None:
    """Every move and every closing at its second, none twice, however readings and restarts fall between them.

    A deal that was closed and opened again between two readings shows nothing of it: exactness reads its changelog all the same.
    """
    life = Life(page, "exact")
    for what, stage in operations:
        await life.live(what, stage)
    life.row["update_time"] = iso(life.at + timedelta(seconds=1))
    await life.rig.poll()

    assert {name: life.rig.entries(name) for name in life.truth} == life.truth


@settings(max_examples=50, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=40))
async def test_a_deal_that_only_changes_otherwise_costs_no_changelog(operations: list[tuple[str, int]]) -> None:
    """Twenty tokens are spent for a move, never for an edit."""
    life = Life(100, "auto")
    for what, stage in operations:
        await life.live(what, stage)
    await life.rig.poll()
    life.rig.company.calls.clear()

    for what in ("touch", "title", "archive", "touch"):
        await life.live(what, 0)
        await life.rig.poll()

    assert not [call for call in life.rig.company.calls if call.endswith("changelog")]
