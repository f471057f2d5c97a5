"""The errors of the simulated Graph API: a code and subcode, never the row."""

from dataclasses import dataclass
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, Json]

TOO_OLD = 2804003
PURCHASE_WITHOUT_VALUE = 2804009
TOO_FEW_KEYS = 2804050
# Meta lists several more subcodes of event validation without saying which rule has which; this one stands for them all.
OTHER_RULE = 2804001


@dataclass(slots=True, eq=False)
class GraphError(Exception):
    """A refused call; of a batch, nothing was stored."""

    message: str
    code: int
    subcode: int | None = None
    http_status: int = 400
    is_transient: bool = False

    def as_json(self, trace_id: str) -> JsonObject:
        """The error object."""
        told: JsonObject = {"message": self.message, "type": "OAuthException", "code": self.code}
        if self.subcode is not None:
            told["error_subcode"] = self.subcode
        if self.code == 100 and self.subcode not in (None, 33):
            told |= {"error_user_title": self.message, "error_user_msg": self.message}
        return {"error": told | {"is_transient": self.is_transient, "fbtrace_id": trace_id}}


def invalid(message: str, subcode: int | None = None) -> GraphError:
    """Code 100: a parameter is wrong."""
    return GraphError(message, 100, subcode)


def broken_rule(message: str) -> GraphError:
    """Code 100 with a subcode of event validation."""
    return GraphError(message, 100, OTHER_RULE)


def no_such_object(dataset: str, verb: str) -> GraphError:
    """Code 100 subcode 33: the id is wrong or the token has no access; Meta does not tell these apart."""
    text = (
        f"Unsupported {verb} request. Object with ID '{dataset}' does not exist or cannot be loaded due to missing permissions."
    )
    return GraphError(text, 100, 33)
