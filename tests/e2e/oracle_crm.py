"""The oracle's CRM: the world's happenings replayed into contacts and deals with histories. Knows nothing of the product."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from app.demo.world import Happening, What

QUALIFIED = "salesqualifiedlead"
UNQUALIFIED = "UNQUALIFIED"
OPPORTUNITY_STAGE = "qualifiedtobuy"
WON_STAGE = "closedwon"
LOST_STAGE = "closedlost"
_EMAIL = re.compile(r"[^@\s]+@([a-z0-9-]+\.)+[a-z]{2,}")
_PHONE = re.compile(r"\+\d{9,15}")


def ref_order(ref: str) -> tuple[int, str]:
    """Refs by length, then by text: the smallest names a scope."""
    return len(ref), ref


@dataclass(slots=True)
class History:
    """The values of one property in the order of time."""

    moments: list[tuple[datetime, str]] = field(default_factory=list)

    def changes(self) -> Iterator[tuple[datetime, str]]:
        """The moments that did not repeat the value held."""
        held: str | None = None
        for at, value in sorted(self.moments, key=lambda moment: moment[0]):
            if value != held:
                yield at, value
            held = value

    def entries_into(self, value: str) -> list[datetime]:
        """When the property came to this value from another."""
        return [at for at, taken in self.changes() if taken == value]


@dataclass(slots=True, eq=False)
class Contact:
    """A live contact, with the ids of the contacts merged into it."""

    id: str
    created_at: datetime
    values: dict[str, str]
    lifecycle: History
    status: History
    aliases: set[str] = field(default_factory=set)
    deals: list["Deal"] = field(default_factory=list)

    @property
    def smallest_ref(self) -> str:
        """How a scope of this person is called when it is new."""
        return min((self.id, *self.aliases), key=ref_order)

    @property
    def email(self) -> str | None:
        """The e-mail as platforms see it, None where it is none."""
        text = self.values.get("email", "").strip().lower()
        return text if _EMAIL.fullmatch(text) else None

    @property
    def phone(self) -> str | None:
        """The phone in international form, None where it is none."""
        text = self.values.get("phone", "").replace(" ", "")
        return text if _PHONE.fullmatch(text) else None

    @property
    def has_consented(self) -> bool:
        """Only a plain yes counts."""
        return self.values.get("ads_consent", "").strip().lower() == "yes"

    @property
    def clicked_at(self) -> datetime:
        """The click, else the creation."""
        text = self.values.get("hs_analytics_first_timestamp")
        return datetime.fromisoformat(text) if text else self.created_at


@dataclass(slots=True, eq=False)
class Deal:
    """A deal with the people on it and their labels."""

    id: str
    values: dict[str, str]
    stages: History
    people: dict[Contact, set[str]] = field(default_factory=dict)
    deleted_at: datetime | None = None

    def won_stays(self) -> list[tuple[datetime, datetime | None, str]]:
        """Each stay in the won stage: from, to (None: still there), and why it ended."""
        stays: list[tuple[datetime, datetime | None, str]] = []
        for at, stage in self.stages.changes():
            if stage == WON_STAGE:
                stays.append((at, None, ""))
            elif stays and stays[-1][1] is None:
                stays[-1] = (stays[-1][0], at, "lost" if stage == LOST_STAGE else "left")
        if stays and stays[-1][1] is None and self.deleted_at is not None:
            stays[-1] = (stays[-1][0], self.deleted_at, "deleted")
        return stays

    def principal(self) -> Contact | None:
        """To whom the deal belongs: the decision maker, the primary one, the earliest."""
        return min(self.people, key=self.preference, default=None)

    def preference(self, person: Contact) -> tuple[object, ...]:
        """Who comes first among the people of the deal."""
        labels = self.people[person]
        return "Decision maker" not in labels, "Primary" not in labels, person.created_at, ref_order(person.smallest_ref)


@dataclass(slots=True)
class Crm:
    """What stands in the CRM after some happenings. `ids` gives each record's id by the world's key."""

    ids: Mapping[str, str]
    contacts: dict[str, Contact] = field(default_factory=dict)
    deals: dict[str, Deal] = field(default_factory=dict)
    merged: list[tuple[Contact, Contact]] = field(default_factory=list)

    def apply(self, one: Happening) -> set[Contact | Deal]:
        """Let one thing happen; what it touched."""
        match one.what:
            case What.CREATE:
                return {self._create(one)}
            case What.UPDATE if one.kind == "contacts":
                return {self._write(self.contacts[one.key], one)}
            case What.UPDATE:
                return {self._write_deal(self.deals[one.key], one)}
            case What.ASSOCIATE:
                deal, person = self.deals[one.key], self.contacts[one.other]
                deal.people.setdefault(person, set()).update({one.label} if one.label else ())
                person.deals.append(deal)
                return {deal, person}
            case What.MERGE:
                return self._merge(one)
            case What.DELETE:
                deal = self.deals[one.key]
                deal.deleted_at = one.at
                return {deal}

    def _create(self, one: Happening) -> Contact | Deal:
        values, number = dict(one.properties), self.ids[one.key]
        if one.kind == "deals":
            deal = Deal(number, values, History([(one.at, values["dealstage"])]))
            self.deals[one.key] = deal
            return deal
        contact = Contact(number, one.at, {}, History(), History())
        self.contacts[one.key] = contact
        return self._write(contact, one)

    def _write(self, contact: Contact, one: Happening) -> Contact:
        contact.values.update(one.properties)
        if "lifecyclestage" in one.properties:
            contact.lifecycle.moments.append((one.at, one.properties["lifecyclestage"]))
        if "hs_lead_status" in one.properties:
            contact.status.moments.append((one.at, one.properties["hs_lead_status"]))
        return contact

    def _write_deal(self, deal: Deal, one: Happening) -> Deal:
        deal.values.update(one.properties)
        if "dealstage" in one.properties:
            deal.stages.moments.append((one.at, one.properties["dealstage"]))
        return deal

    def _merge(self, one: Happening) -> set[Contact | Deal]:
        """The survivor keeps its values and fills its gaps, joins the histories, and takes over the deals."""
        kept, gone = self.contacts.pop(one.key), self.contacts.pop(one.other)
        values = {**gone.values, **{name: value for name, value in kept.values.items() if value}}
        lifecycle, status = (
            History(kept.lifecycle.moments + gone.lifecycle.moments),
            History(kept.status.moments + gone.status.moments),
        )
        for history, name in ((lifecycle, "lifecyclestage"), (status, "hs_lead_status")):
            if history.moments:
                history.moments.append((one.at, values[name]))
        survivor = Contact(self.ids[one.new_key or one.key], kept.created_at, values, lifecycle, status)
        survivor.aliases = (kept.aliases | gone.aliases | {kept.id, gone.id}) - {survivor.id}
        survivor.deals = list(dict.fromkeys(kept.deals + gone.deals))
        for deal in survivor.deals:
            deal.people[survivor] = deal.people.pop(kept, set()) | deal.people.pop(gone, set())
        self.contacts[one.new_key or one.key] = survivor
        self.merged += [(kept, survivor), (gone, survivor)]
        return {survivor, *survivor.deals}
