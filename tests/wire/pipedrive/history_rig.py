"""A deal that is moved, won and lost between polls, and what the service holds of it."""

from datetime import datetime, timedelta

from connectors.contract.records import ObjectKind, Record
from connectors.contract.selection import ObjectSelection, Selection
from connectors.contract.source import Window
from connectors.crm.pipedrive.source import PipedriveSource
from tests.wire.pipedrive.fake_company import NOW, Company, Store, change, iso, read

ADDED = NOW - timedelta(days=10)
HOUR = timedelta(hours=1)
PATH = "GET /api/v1/deals/1/changelog"
SELECTION = Selection({ObjectKind.DEAL: ObjectSelection(history_properties=frozenset({"stage_id", "status"}))})


class Rig:
    """A company, a source and what the service holds of it."""

    def __init__(self, **settings: str) -> None:
        self.company = Company()
        self.store = Store()
        self.source: PipedriveSource = self.company.source(**settings)

    def move(self, stage: int, at: datetime, number: int = 1, pipeline: int | None = None) -> None:
        row = self.company.rows["deals"][number]
        lines = self.company.changelogs.setdefault(f"deals/{number}", [])
        lines.append(change("stage_id", str(row["stage_id"]), str(stage), at))
        if pipeline is not None:
            lines.append(change("pipeline_id", str(row["pipeline_id"]), str(pipeline), at))
            row["pipeline_id"] = pipeline
        row |= {"stage_id": stage, "stage_change_time": iso(at), "update_time": iso(at)}

    def close(self, status: str, at: datetime, number: int = 1) -> None:
        row = self.company.rows["deals"][number]
        self.company.changelogs.setdefault(f"deals/{number}", []).append(change("status", row["status"], status, at))
        row |= {"status": status, "update_time": iso(at), "won_time": None, "lost_time": None}
        if status != "open":
            row[f"{status}_time"] = iso(at)
        if status == "won":
            row.setdefault("first_won_time", iso(at))

    async def poll(self, selection: Selection = SELECTION) -> list[Record]:
        pages = await read(
            self.company, Window(ObjectKind.DEAL, ADDED), selection, stored=self.store.stored(), source=self.source
        )
        for page in pages:
            self.store.take(page)
        return [record for page in pages for record in page.records]

    def entries(self, name: str, number: int = 1) -> list[tuple[str, datetime]]:
        found = self.store.entries.get((ObjectKind.DEAL, str(number)), set())
        return sorted(((value, at) for one, value, at in found if one == name), key=lambda one: one[1])
