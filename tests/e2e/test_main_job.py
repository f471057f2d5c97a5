"""The main job end to end, beside the ledger (test_demo_ledger.py): what must not stand in the database."""

import hashlib
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from app.demo.play import open_play
from tests.stages import stage_of

ENDS_AT = datetime(2026, 11, 24, tzinfo=UTC)
DAYS = 10
MOST_DEALS = 25
PERSONAL = ("email", "phone", "lastname", "hs_google_click_id", "hs_facebook_click_id", "leadgen_id")


async def test_nothing_of_a_person_stands_in_the_database_file(tmp_path: Path) -> None:
    """A stolen database file must name nobody: no e-mail, phone, name, and no bare hash of one."""
    path = tmp_path / "private.db"
    stage = stage_of(days=DAYS, most_deals=MOST_DEALS, ends_at=ENDS_AT)
    async with AsyncExitStack() as stack:
        play = await open_play(stage, f"sqlite:///{path}", tmp_path, stack)
        await play.run(ENDS_AT)

    content = b"".join(file.read_bytes() for file in tmp_path.glob("private.db*"))  # noqa: ASYNC240 the service is closed
    values = {one.properties.get(name, "") for one in stage.world.happenings for name in PERSONAL}
    checked = [value for value in values if len(value) > 4]
    assert len(checked) > 2 * MOST_DEALS
    for value in checked:
        assert value.encode() not in content
        digest = hashlib.sha256(value.strip().lower().encode())
        assert digest.digest() not in content
        assert digest.hexdigest().encode() not in content
