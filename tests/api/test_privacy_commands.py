"""`leadloop forget`, `privacy` and `secrets rotate` in a terminal: they ask, tell what to do next, and show no clue again."""

import asyncio
import io
import json
import shutil
from pathlib import Path

import pytest

from app.db.session import Database
from tests.api.rig import rig_on
from tests.commands import run_command
from tests.integration.privacy_rig import rows_of

SECRET = "a long enough secret text"
EMAIL = "jane.quill@customer.example.com"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the database of a command is."""
    return tmp_path / "one.db"


@pytest.fixture
def leadloop(file: Path, monkeypatch: pytest.MonkeyPatch, logs: io.StringIO) -> pytest.MonkeyPatch:
    """An environment with a secret key and a database of its own; the logs are as before afterwards."""
    assert not logs.getvalue()
    monkeypatch.setenv("LEADLOOP_DATABASE_URL", f"sqlite:///{file}")
    monkeypatch.setenv("LEADLOOP_SECRET_KEY", SECRET)
    return monkeypatch


@pytest.fixture
def contact(file: Path, leadloop: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """A stored person, by the id of their contact."""

    async def play() -> str:
        async with rig_on(file.parent, f"sqlite:///{file}") as rig:
            one = rig.person(email=EMAIL, lifecyclestage="salesqualifiedlead")
            await rig.services.tick()
            return one

    found = asyncio.run(play())
    capsys.readouterr()
    return found


def _many(file: Path, table: str) -> object:
    async def count() -> object:
        database = Database(f"sqlite:///{file}")
        ((many,),) = await rows_of(database, f"SELECT count(*) FROM {table}")
        await database.close()
        return many

    return asyncio.run(count())


def test_forget_asks_first(leadloop: pytest.MonkeyPatch, contact: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It cannot be taken back."""
    assert run_command(leadloop, "forget", f"contact:{contact}", types="n\n") == 1
    assert _many(file, "identities") == 1
    assert "stored of this person: 1 lead." in capsys.readouterr().out

    assert run_command(leadloop, "forget", f"contact:{contact}", types="y\n") == 0

    assert _many(file, "identities") == 0
    assert "erased: 1 lead, 1 record" in capsys.readouterr().out


def test_an_e_mail_is_read_from_stdin(
    leadloop: pytest.MonkeyPatch, contact: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the command line it would stand in the shell's history and in the list of processes."""
    assert run_command(leadloop, "privacy", "export", "--email", types=f"{EMAIL}\n") == 0
    (person,) = json.loads(capsys.readouterr().out)["people"]

    assert run_command(leadloop, "forget", "--email", "--yes", types=f"{EMAIL}\n") == 0

    assert person["records"][0]["fields"]["email"] == EMAIL
    assert EMAIL not in capsys.readouterr().out
    assert _many(file, "identities") == 0


@pytest.mark.parametrize(
    ("words", "types", "told"),
    [
        (["forget"], "", "name the person by one of"),
        (["forget", "contact:1", "--email"], "a@b.example", "name the person by one of"),
        (["forget", "contact:1", "--country", "GB"], "", "--country goes with --phone"),
        (["forget", "--email"], "nobody", "this is no e-mail address"),
        (["forget", "contact:1", "--source", "hubspt"], "", "no source is named"),
        (["privacy", "tombstones", "import", "nowhere.txt"], "", "nowhere.txt cannot be read"),
    ],
)
def test_a_mistake_is_one_clear_line(
    leadloop: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], types: str, told: str
) -> None:
    """What, which, and what to do; nothing is changed."""
    assert run_command(leadloop, *words, types=types) == 2

    assert told in capsys.readouterr().err


def test_a_restored_backup_forgets_again(
    leadloop: pytest.MonkeyPatch, contact: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Backup, forget, export; later the backup comes back, and with the import everybody is forgotten again."""
    stones = str(tmp_path / "stones.txt")
    shutil.copy(file, tmp_path / "backup.db")
    assert run_command(leadloop, "forget", f"contact:{contact}", "--yes") == 0
    assert run_command(leadloop, "privacy", "tombstones", "export", stones) == 0
    for name in ("one.db", "one.db-wal", "one.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", file)
    assert _many(file, "identities") == 1

    assert run_command(leadloop, "privacy", "tombstones", "import", stones) == 0

    assert _many(file, "identities") == 0
    assert "2 tombstones read, 2 of them new\nerased: 1 lead, 1 record" in capsys.readouterr().out
    assert EMAIL not in Path(stones).read_text(encoding="utf-8")
    assert run_command(leadloop, "privacy", "tombstones", "export", stones) == 2
    assert "cannot be written: File exists" in capsys.readouterr().err


def test_a_damaged_file_of_tombstones_is_refused_whole(
    leadloop: pytest.MonkeyPatch, contact: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the forgotten would come back unnoticed."""
    whole = tmp_path / "stones.txt"
    assert run_command(leadloop, "forget", f"contact:{contact}", "--yes") == 0
    assert run_command(leadloop, "privacy", "tombstones", "export", str(whole)) == 0
    head, *stones, foot = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    foreign = json.dumps({**json.loads(head), "key_check": "00" * 16}) + "\n"
    damaged = {
        "is cut off": [head, *stones],
        "does not count": [head, stones[0], foot],
        "is of another database": [foreign, *stones, foot],
        "line 2 is no tombstone": [head, '{"kind":"email","hmac":"00","forgotten_at":"2026-01-01T00:00:00+00:00"}\n', foot],
        "line 2 is no JSON object": [head, "[1]\n", foot],
        "line 1 does not say": ["{}\n", *stones, foot],
    }
    capsys.readouterr()

    for told, lines in damaged.items():
        (tmp_path / "bad.txt").write_text("".join(lines), encoding="utf-8")
        assert run_command(leadloop, "privacy", "tombstones", "import", str(tmp_path / "bad.txt")) == 2
        assert told in capsys.readouterr().err

    assert _many(file, "settings WHERE name = 'tombstone_sweep'") == 0


def test_a_rotation_says_when_the_old_key_may_go(
    leadloop: pytest.MonkeyPatch, contact: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator must not take a key out that is still needed, nor keep it for ever."""
    leadloop.setenv("LEADLOOP_SECRET_KEY", f"a new secret text of ours,{SECRET}")
    assert contact
    assert run_command(leadloop, "secrets", "rotate") == 0
    first = capsys.readouterr().out

    leadloop.setenv("LEADLOOP_SECRET_KEY", "a new secret text of ours")
    assert run_command(leadloop, "secrets", "rotate") == 0
    alone = capsys.readouterr().out
    assert run_command(leadloop, "privacy", "export", "--email", types=EMAIL) == 0

    assert "1 destinations, 1 identities, 1 records, 1 sources" in first
    assert "take the old keys out of LEADLOOP_SECRET_KEY" in first
    assert "nothing, all of it was already" in alone
    assert EMAIL in capsys.readouterr().out
