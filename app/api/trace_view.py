"""The trace as the contract shows it: its dataclasses as models, each value as `as_json` writes it."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, create_model

from app.reports.listing import Amount
from app.reports.trace_model import Trace
from connectors.contract.conversions import Money


@cache
def _model_of(shape: type[Any]) -> type[BaseModel]:
    hints = get_type_hints(shape)
    shown: dict[str, Any] = {one.name: (_shown(hints[one.name]), ...) for one in fields(shape)}
    return create_model(shape.__name__, __doc__=shape.__doc__, **shown)


def _shown(hint: Any) -> Any:
    """The type of a field as JSON can hold it."""
    arguments = get_args(hint)
    if isinstance(hint, UnionType):
        shown = _shown(arguments[0])
        for argument in arguments[1:]:
            shown |= _shown(argument)
        return shown
    if get_origin(hint) is tuple:
        return list[_shown(arguments[0])]  # type: ignore[misc]  # a type that is made here
    if get_origin(hint) is Mapping:
        return dict[str, _shown(arguments[1])]  # type: ignore[misc]  # a type that is made here
    if hint is Money:
        return Amount
    if hint is type(None) or hint is datetime or not isinstance(hint, type):
        return hint
    return _model_of(hint) if is_dataclass(hint) else hint


TraceView = _model_of(Trace)
