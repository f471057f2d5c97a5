"""Names that a caller gives: known, or told with the nearest one."""

from app.bootstrap.services import Services
from app.config import Mistake, nearest


async def unknown_names(services: Services, *, source: str | None, destination: str | None, place: str) -> list[Mistake]:
    """A mistake for each name that no connection has."""
    found = []
    for what, name, rows in (
        ("source", source, await services.sources() if source else ()),
        ("destination", destination, await services.destinations() if destination else ()),
    ):
        names = [row.name for row in rows]
        if name is not None and name not in names:
            found.append(Mistake(f"{place}.{what}", f"no {what} has this name", nearest(name, names)))
    return found
