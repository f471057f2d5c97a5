"""Remembers which versions of contact roles were seen before their deal was last read, so that overlaps read no deal again."""

from collections.abc import Collection, Iterable

from connectors.crm.salesforce.objects import CREATED, IS_EARLY, MODIFIED
from connectors.crm.salesforce.records import role_deals, row_id
from connectors.http.strict_json import Json

# A role costs some 200 bytes here; one that is forgotten costs a read of its deal.
ROLES_REMEMBERED = 20_000


class RolesRead:
    """The memory of one connection in this process. Losing it costs reads, never a person."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}

    def unread(self, roles: Iterable[Json], read: Collection[str]) -> list[str]:
        """The deals that these roles ask to be read. `read`: those that this run has read."""
        fresh = [role for role in roles if self._versions.get(row_id(role)) != _version(role)]
        return [deal for deal in role_deals(fresh) if deal not in read]

    def note(self, roles: Iterable[Json]) -> None:
        """The deals of these roles were read after the roles were seen, and that reading is committed.

        One that may change again without a new stamp is not remembered.
        """
        for role in (one for one in roles if not one.get(IS_EARLY)):
            self._versions.pop(row_id(role), None)
            self._versions[row_id(role)] = _version(role)
        while len(self._versions) > ROLES_REMEMBERED:
            del self._versions[next(iter(self._versions))]


def _version(role: Json) -> str:
    return str(role.get(MODIFIED) or role.get(CREATED))
