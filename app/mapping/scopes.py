"""What a milestone is counted by: a person, a deal, a company, or the record itself where there is none (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.mapping.aggregate import Aggregate, ConversionState, Deal, DealPerson, KnownRecord, Person
from app.mapping.derived import PERSON, derived
from app.mapping.document import MappingDocument, Milestone
from app.mapping.ids import smallest_ref
from app.mapping.people import Lookup, emails_of, region_of, values_of
from connectors.contract.records import ObjectKind


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope of an aggregate: its refs (the smallest names it when it is new), its records, its fields.

    `stands_in`: a deal without people that a milestone of a person is filed under until the person comes.
    """

    kind: str
    refs: tuple[str, ...]
    records: tuple[KnownRecord, ...]
    look: Lookup
    lead_id: int | None
    stands_in: bool = False

    def owns(self, stored: ConversionState) -> bool:
        """True where a stored conversion is this scope's, also under the ref of a merged record."""
        if stored.scope_kind != self.kind:
            return False
        if self.kind == PERSON and self.lead_id is not None and stored.lead_id == self.lead_id:
            return True
        return stored.scope_key in self.refs

    def adopts(self, stored: ConversionState) -> bool:
        """True where a deal counted for itself, as it had nobody, and this is its person."""
        return self.kind == PERSON and stored.lead_id is None and stored.scope_kind == ObjectKind.DEAL.value

    def reads(self, record_id: int) -> bool:
        """True where the record is one of this scope's."""
        return any(record.id == record_id for record in self.records)

    @property
    def new_key(self) -> str:
        """The ref under which a new conversion of this scope is filed, for ever."""
        return smallest_ref(self.refs)

    def look_at(self, record: KnownRecord) -> Lookup:
        """The scope's fields; of several deals of a person or company, the one that a stay is about."""
        if self.kind == ObjectKind.DEAL.value or record.ref.kind is not ObjectKind.DEAL:
            return self.look
        fields, rest = record.fields, self.look

        def of_this_deal(kind: str, name: str) -> str | None:
            return fields.get(name) if kind == ObjectKind.DEAL else rest(kind, name)

        return of_this_deal


def principal(people: Sequence[DealPerson], prefer: Sequence[str]) -> DealPerson | None:
    """The person a deal belongs to, whatever the destination: by label and primary as preferred, then the earliest."""

    def order(one: DealPerson) -> tuple[object, ...]:
        wishes: list[bool] = []
        for wish in prefer:
            if wish.startswith("label:"):
                wishes.append(wish.removeprefix("label:") not in one.labels)
            elif wish == "primary":
                wishes.append(not one.is_primary)
        return (*wishes, one.created_at, len(one.ref.external_id), one.ref.external_id)

    return min(people, key=order, default=None)


class Scopes:
    """The scopes of one aggregate, by what a milestone is counted by."""

    def __init__(self, aggregate: Aggregate, document: MappingDocument) -> None:
        self._aggregate = aggregate
        self._rules = document.identity
        self._person = aggregate.person
        deals = tuple(record for deal in aggregate.deals for record in (deal.record, *deal.merged))
        self._all = (*(self._person.records if self._person else ()), *deals)
        self._known: dict[str, list[Scope]] = {}

    def of(self, milestone: Milestone) -> list[Scope]:
        """The scopes in which this milestone is counted."""
        by = milestone.once_per
        if by == "deal" and all(trigger.object is not ObjectKind.DEAL for trigger in milestone.when):
            by = "person"
        if by not in self._known:
            self._known[by] = self._make(by)
        return self._known[by]

    def look_at(self, record: KnownRecord) -> Lookup:
        """The fields by which a record is judged: its own where it is a deal, else those of the person with their deals."""
        rest = self._looking(self._all)
        if record.ref.kind is not ObjectKind.DEAL:
            return rest
        return lambda kind, name: record.fields.get(name) if kind == ObjectKind.DEAL else rest(kind, name)

    def _make(self, by: str) -> list[Scope]:
        if by == "company":
            companies = {record.company_ref for record in self._all if record.company_ref is not None}
            if companies:
                return [self._of_company(company) for company in sorted(companies)]
        if by == "deal" or self._person is None:
            return [self._of_deal(deal, self._person, stands_in=by != "deal") for deal in self._aggregate.deals]
        return [self._of_person(self._person)]

    def _of_deal(self, deal: Deal, person: Person | None, *, stands_in: bool) -> Scope:
        held = (deal.record, *deal.merged, *(person.records if person else ()))
        refs = tuple(ref for record in (deal.record, *deal.merged) for ref in _refs(record))
        lead_id = person.lead_id if person else None
        return Scope("deal", refs, (deal.record, *deal.merged), self._looking(held), lead_id, stands_in)

    def _of_person(self, person: Person) -> Scope:
        refs = tuple(ref for record in person.records for ref in _refs(record)) or (str(person.lead_id),)
        return Scope(PERSON, refs, self._all, self._looking(self._all), person.lead_id)

    def _of_company(self, company: str) -> Scope:
        held = tuple(record for record in self._all if record.company_ref == company)
        lead_id = self._person.lead_id if self._person else None
        return Scope("company", (company,), held, self._looking(self._all), lead_id)

    def _looking(self, records: tuple[KnownRecord, ...]) -> Lookup:
        """The first non-empty value of a property among records in order."""
        rules = self._rules

        def look(kind: str, name: str) -> str | None:
            if kind == PERSON:
                emails, phones = emails_of(rules.email, records), values_of(rules.phone, records)
                return derived(name, emails, phones, region_of(rules, records))
            for record in records:
                value = record.fields.get(name) if record.ref.kind == kind else None
                if value:
                    return value
            return None

        return look


def _refs(record: KnownRecord) -> tuple[str, ...]:
    """A CRM lead's id may be a contact's too, where the CRM numbers each kind by itself."""
    ids = (record.ref.external_id, *record.aliases)
    return tuple(f"{ObjectKind.LEAD.value}:{one}" for one in ids) if record.ref.kind is ObjectKind.LEAD else ids
