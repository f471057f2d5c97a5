"""Who belongs to whom: links between records in both directions, with their labels."""

from connectors.simulators.hubspot.catalogue import AssociationType, default_association_types

_FIRST_USER_TYPE_ID = 101


class Associations:
    """The links of one portal and the association types they may carry."""

    def __init__(self) -> None:
        self.types: dict[tuple[str, str], list[AssociationType]] = default_association_types()
        self._links: dict[tuple[str, str], dict[int, dict[int, frozenset[str]]]] = {}
        self.stamp = 0
        self._next_type_id = _FIRST_USER_TYPE_ID

    def define_label(self, from_type: str, to_type: str, label: str) -> None:
        """Make a label of the user's own for a pair of types, in both directions."""
        for pair in ((from_type, to_type), (to_type, from_type)):
            known = self._types(pair)
            if all(one.label != label for one in known):
                known.append(AssociationType(self._next_type_id, label, "USER_DEFINED"))
                self._next_type_id += 1

    def link(self, from_type: str, from_id: int, to_type: str, to_id: int, labels: frozenset[str]) -> None:
        """Associate two records, adding these labels to those they have."""
        for label in labels:
            self.define_label(from_type, to_type, label)
        self.stamp += 1
        self._put((from_type, to_type), from_id, to_id, labels)
        self._put((to_type, from_type), to_id, from_id, labels)

    def unlink(self, from_type: str, from_id: int, to_type: str, to_id: int) -> None:
        """Take an association away, with all its labels."""
        self.stamp += 1
        self._links[(from_type, to_type)][from_id].pop(to_id)
        self._links[(to_type, from_type)][to_id].pop(from_id)

    def of(self, from_type: str, from_id: int, to_type: str) -> list[tuple[int, frozenset[str]]]:
        """The ids of this type that a record is associated with, in order, with their labels."""
        found = self._links.get((from_type, to_type), {}).get(from_id)
        return sorted(found.items()) if found else []

    def spoken_types(self, from_type: str, to_type: str, labels: frozenset[str]) -> list[AssociationType]:
        """How HubSpot tells of a link: the unlabelled type, then each label's."""
        return [one for one in self._types((from_type, to_type)) if one.label is None or one.label in labels]

    def move(self, object_type: str, old_id: int, new_id: int | None) -> None:
        """Hand all links of a record over to another of its type, or drop them (None)."""
        for from_type, to_type in list(self._links):
            if from_type != object_type:
                continue
            for other, labels in self.of(from_type, old_id, to_type):
                self.unlink(from_type, old_id, to_type, other)
                if new_id is not None and (to_type, other) != (object_type, new_id):
                    self.link(from_type, new_id, to_type, other, labels)

    def _types(self, pair: tuple[str, str]) -> list[AssociationType]:
        if pair not in self.types:
            self.types[pair] = [AssociationType(self._next_type_id)]
            self._next_type_id += 1
        return self.types[pair]

    def _put(self, pair: tuple[str, str], from_id: int, to_id: int, labels: frozenset[str]) -> None:
        found = self._links.setdefault(pair, {}).setdefault(from_id, {})
        found[to_id] = found.get(to_id, frozenset()) | labels
