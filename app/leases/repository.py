"""SQL of leases. A fence rises with every change of holder; writes under a lease carry it. Never commits."""

from collections.abc import Sequence

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import jobs, leases

_ACQUIRE = text(
    "INSERT INTO leases (name, holder, fence, until) VALUES (:name, :holder, 1, :until) "
    "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until, "
    "fence = leases.fence + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END "
    "WHERE leases.holder = excluded.holder OR leases.until <= :now RETURNING fence"
)

_RELEASE = text("UPDATE leases SET until = 0, holder = '' WHERE name = :name AND holder = :holder")
_RENEW = text("UPDATE leases SET until = :until WHERE name = :name AND holder = :holder AND fence = :fence")

_LOCK = text(
    "INSERT INTO leases (name, holder, fence, until) VALUES (:name, '', 0, 0) "
    "ON CONFLICT (name) DO UPDATE SET name = excluded.name"
)


async def acquire(connection: AsyncConnection, name: str, holder: str, now_ms: int, ttl_ms: int) -> int | None:
    """Take or renew a lease; its fence, or None where another holds it."""
    values = {"name": name, "holder": holder, "until": now_ms + ttl_ms, "now": now_ms}
    fence = await connection.scalar(_ACQUIRE, values)
    return None if fence is None else int(fence)


async def release(connection: AsyncConnection, name: str, holder: str) -> None:
    """Let go at once; the row stays, so that its fence goes on rising."""
    await connection.execute(_RELEASE, {"name": name, "holder": holder})


async def release_others(connection: AsyncConnection, prefix: str, holder: str) -> None:
    """Let go of every lease of these names that another holds: only where it is known that no other lives."""
    others = (leases.c.name.startswith(prefix, autoescape=True), leases.c.holder != holder)
    await connection.execute(update(leases).where(*others).values(until=0, holder=""))


async def renew(connection: AsyncConnection, name: str, holder: str, fence: int, now_ms: int, ttl_ms: int) -> bool:
    """Hold on to this very lease; False where another took it or it was let go. Locks its row until the commit.

    A lease that ran out is still its holder's until another takes it: taking raises the fence, letting go clears the holder,
    and both lock the row. So a step that outlasts its lease is written, unless somebody else began meanwhile.
    """
    given = {"name": name, "holder": holder, "fence": fence, "until": now_ms + ttl_ms}
    return (await connection.execute(_RENEW, given)).rowcount == 1


async def lock_rows(connection: AsyncConnection, names: Sequence[str]) -> None:
    """Keep whoever holds these leases from writing until the commit, without taking any of them."""
    for name in sorted(set(names)):
        await connection.execute(_LOCK, {"name": name})


async def is_held_by_other(connection: AsyncConnection, names: Sequence[str], holder: str, now_ms: int) -> bool:
    """True where another holds one of these leases now."""
    held = select(leases.c.name).where(leases.c.name.in_(names), leases.c.holder != holder, leases.c.until > now_ms).limit(1)
    return await connection.scalar(held) is not None


async def ran_since(connection: AsyncConnection, job_names: Sequence[str], since_ms: int) -> bool:
    """True where one of these jobs was run since then, by whomever."""
    ran = select(jobs.c.name).where(jobs.c.name.in_(job_names), jobs.c.ran_at >= since_ms).limit(1)
    return await connection.scalar(ran) is not None
