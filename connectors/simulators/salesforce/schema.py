"""The org's objects and fields as they stand: standard and custom ones, what is hidden from the user, what is tracked."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from connectors.simulators.salesforce.catalogue import FIELD_HISTORIES, OBJECTS, Choice, Field, ObjectType, fields_of
from connectors.simulators.salesforce.table import Table


class Schema:
    """Definitions by object; columns of the tables follow them."""

    def __init__(self, *, has_currencies: bool, has_persons: bool, tracked: Mapping[str, Collection[str]]) -> None:
        self.tables: dict[str, Table] = {}
        self.fields: dict[str, dict[str, Field]] = {}
        self.tracked: dict[str, set[str]] = {name: set(tracked.get(name, ())) for name in FIELD_HISTORIES}
        self.shows_empty_histories = False
        self.hidden_objects: set[str] = set() if has_currencies else {"CurrencyType"}
        self.hidden_fields: set[tuple[str, str]] = set()
        self.changed_ms: dict[str, int] = {}
        self._is_changed: set[str] = set(OBJECTS)
        for kind in OBJECTS.values():
            self.tables[kind.name] = Table(kind.name)
            self.fields[kind.name] = {}
            for field in fields_of(kind, has_currencies=has_currencies, has_persons=has_persons):
                self.define(kind.name, field)

    def define(self, name: str, field: Field) -> None:
        """Make a field, or replace one that is there (its values stay)."""
        if field.name not in self.fields[name]:
            self.tables[name].add_column(field.name)
        self.fields[name][field.name] = field if field.label else replace(field, label=_label(field.name))
        self._is_changed.add(name)

    def remove(self, name: str, field: str) -> None:
        """Delete a field with all its values."""
        del self.fields[name][field]
        del self.tables[name].columns[field]
        self._is_changed.add(name)

    def hide(self, name: str, field: str | None, *, is_hidden: bool) -> None:
        """Take an object or a field from the user's sight, or give it back."""
        if field is None:
            (self.hidden_objects.add if is_hidden else self.hidden_objects.discard)(name)
        else:
            (self.hidden_fields.add if is_hidden else self.hidden_fields.discard)((name, field))
        self._is_changed.add(name)

    def give_choices(self, name: str, field: str, choices: Iterable[Choice]) -> None:
        """Set the values of a picklist."""
        self.define(name, replace(self.fields[name][field], choices=tuple(choices)))

    def settle(self, now_ms: int) -> frozenset[str]:
        """Stamp the definitions that changed since the last call; the names of their objects."""
        changed = frozenset(self._is_changed)
        self.changed_ms |= dict.fromkeys(changed, now_ms)
        self._is_changed.clear()
        return changed

    def track(self, name: str, field: str, *, is_on: bool) -> None:
        """Switch a field's history; rows that were written stay."""
        if field not in self.fields[name]:
            raise ValueError(f"{name} has no field {field}")
        (self.tracked[name].add if is_on else self.tracked[name].discard)(field)
        self._is_changed.add(name)

    def kind(self, name: str) -> ObjectType | None:
        """An object that the user can see, by its name in any case."""
        found = OBJECTS.get(name) or next((one for one in OBJECTS.values() if one.name.lower() == name.lower()), None)
        return found if found is not None and self.is_visible(found) else None

    def is_visible(self, kind: ObjectType) -> bool:
        """Whether the user sees an object. A field history is there only where a field is tracked or ever was."""
        if kind.name in self.hidden_objects or (kind.history_of and kind.history_of in self.hidden_objects):
            return False
        if FIELD_HISTORIES.get(kind.history_of, ("", ""))[0] != kind.name:
            return True
        return self.shows_empty_histories or bool(self.tracked[kind.history_of]) or bool(self.tables[kind.name].rows)

    def field(self, name: str, field: str) -> Field | None:
        """A field that the user can see, by its name in any case."""
        known = self.fields[name]
        found = known.get(field) or next((one for one in known.values() if one.name.lower() == field.lower()), None)
        return None if found is None or (name, found.name) in self.hidden_fields else found

    def seen(self, name: str) -> list[Field]:
        """All fields of an object that the user can see."""
        return [one for one in self.fields[name].values() if (name, one.name) not in self.hidden_fields]

    def parent(self, name: str, relationship: str) -> Field | None:
        """The field by which a path like `Contact.Email` leads to another object."""
        fields = self.seen(name)
        return next((one for one in fields if one.refers_to and one.relationship.lower() == relationship.lower()), None)


def _label(name: str) -> str:
    words = "".join(f" {one}" if one.isupper() else one for one in name.removesuffix("__c")).split()
    return " ".join(words).replace("_", " ")
