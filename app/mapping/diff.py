"""What differs between two documents: by place, milestones by their names (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MISSING = object()


@dataclass(frozen=True, slots=True)
class Change:
    """What stands at a place before and after; `was_there` and `is_there` tell an absent value from a null."""

    path: str
    before: object = None
    after: object = None
    was_there: bool = True
    is_there: bool = True


def differences(before: object, after: object, path: str = "") -> Iterator[Change]:
    """Every place where the documents differ, in the order of the first, then what is new."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            inner = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key, MISSING), after.get(key, MISSING), inner)
        return
    names = _names(before), _names(after)
    if names[0] is not None and names[1] is not None:
        if list(names[0]) != list(names[1]) and set(names[0]) == set(names[1]):
            yield Change(f"{path} (order)", list(names[0]), list(names[1]))
        for name in dict.fromkeys((*names[0], *names[1])):
            yield from differences(names[0].get(name, MISSING), names[1].get(name, MISSING), f"{path}[{name}]")
        return
    if before != after:
        yield Change(
            path,
            None if before is MISSING else before,
            None if after is MISSING else after,
            was_there=before is not MISSING,
            is_there=after is not MISSING,
        )


def _names(value: object) -> Mapping[str, object] | None:
    """A list of named things by their names, None where it is none."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return None
    names = [one.get("name") for one in value if isinstance(one, Mapping)]
    if len(names) != len(value) or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        return None
    return {str(name): one for name, one in zip(names, value, strict=True)}
