"""Writing records: system fields, what follows from a stage, and the history rows of every change."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from connectors.simulators.salesforce.catalogue import FIELD_HISTORIES, OBJECTS, Stage, Status
from connectors.simulators.salesforce.ids import make_id
from connectors.simulators.salesforce.instants import moment, rest_text
from connectors.simulators.salesforce.schema import Schema
from connectors.simulators.salesforce.table import Row, Table, Value, Values, value_at
from connectors.simulators.salesforce.values import taken_in

USER_ID = make_id("005", 1)
_MOVES = ("StageName", "Amount", "Probability", "CloseDate")
_DATA_TYPES = {"currency": "Currency", "percent": "Percent", "datetime": "DateTime", "boolean": "Boolean", "picklist": "Text"}

Told = Callable[[str, str, int], None]


@dataclass(frozen=True, slots=True)
class Transaction:
    """When something happens: its instant, the SystemModstamp if another, and when it can be seen if not at once."""

    at_ms: int
    stamp_ms: int | None = None
    visible_ms: int | None = None


class Records:
    """The tables, and the only way to write them."""

    def __init__(self, schema: Schema, currency: str | None) -> None:
        self.schema = schema
        self.tables: dict[str, Table] = schema.tables
        self.stages: Mapping[str, Stage] = {}
        self.statuses: Mapping[str, Status] = {}
        self.told: Told = lambda *_: None
        self.binned: dict[tuple[str, str], int] = {}  # (object, id) -> when it went into the bin, oldest first
        self._currency = currency
        self._numbers = dict.fromkeys({one.prefix for one in OBJECTS.values()}, 0)

    def insert(self, name: str, fields: Mapping[str, object], when: Transaction, record_id: str | None = None) -> str:
        """Make a record with all that follows from its values; the new id."""
        table = self.tables[name]
        record_id = record_id or self._new_id(name)
        if record_id in table.rows:
            raise ValueError(f"{name} {record_id} exists already")
        given = self.checked(name, fields)
        values = {**self._system(name, record_id, when), **self._defaults(name, given, when), **given}
        _derive(name, values)
        if name == "Opportunity":
            self._follow_stage(values, given, {}, when)
        row = Row(record_id, self._packed(table, values))
        table.put(row, when.at_ms, when.visible_ms)
        if name == "Opportunity":
            self._write_stage_history(values, {}, when)
        if self.schema.tracked.get(name):
            self._write_field(name, record_id, "created", (None, None), when)
        if name == "OpportunityContactRole" and values.get("IsPrimary"):
            self.make_primary(row, when)
        self.told(name, record_id, when.visible_ms or when.at_ms)
        return record_id

    def change(self, name: str, row: Row, fields: Mapping[str, object], when: Transaction, *, is_silent: bool = False) -> None:
        """Write fields of a record with the history that follows; a silent change moves SystemModstamp only."""
        table = self.tables[name]
        when = replace(when, visible_ms=table.visible(row.id, when.visible_ms))
        given = self.checked(name, fields)
        old = self.unpacked(name, row)
        values = {**old, **given}
        if name == "Opportunity":
            self._follow_stage(values, given, old, when)
        _derive(name, values)
        if not is_silent and "LastModifiedDate" in values:
            values["LastModifiedDate"] = when.at_ms
        if "SystemModstamp" in values:
            values["SystemModstamp"] = when.stamp_ms or max(when.at_ms, cast("int", old["SystemModstamp"] or 0))
        table.write(row, self._packed(table, values), when.at_ms, when.visible_ms)
        if name == "Opportunity" and any(values[one] != old[one] for one in _MOVES):
            self._write_stage_history(values, old, when)
        for one in sorted(self.schema.tracked.get(name, ())):
            if one in values and values[one] != old[one]:
                self._write_field(name, row.id, one, (old[one], values[one]), when)
        if name == "OpportunityContactRole" and given.get("IsPrimary"):
            self.make_primary(row, when)
        if not is_silent:
            self.told(name, row.id, when.visible_ms or when.at_ms)

    def set_quietly(self, name: str, row: Row, fields: Mapping[str, Value], when: Transaction) -> None:
        """Write values without history, stamp or push: mirrored fields, moved histories."""
        table = self.tables[name]
        values = {**self.unpacked(name, row), **fields}
        table.write(row, self._packed(table, values), when.at_ms, when.visible_ms)

    def write_field_history(self, name: str, record_id: str, field: str, change: tuple[Value, Value], when: Transaction) -> None:
        """A row of field history, where the object has any field tracked."""
        if self.schema.tracked.get(name):
            self._write_field(name, record_id, field, change, when)

    def make_primary(self, role: Row, when: Transaction) -> None:
        """One primary role an opportunity: the others lose the mark, and Opportunity.ContactId mirrors it."""
        table = self.tables["OpportunityContactRole"]
        deal_id, contact_id = table.get(role, "OpportunityId"), table.get(role, "ContactId")
        for other in self.children("OpportunityContactRole", "OpportunityId", str(deal_id)):
            if other is not role and table.get(other, "IsPrimary"):
                self.change("OpportunityContactRole", other, {"IsPrimary": False}, when)
        self.mirror_primary(role, contact_id, when)

    def mirror_primary(self, role: Row, contact_id: Value, when: Transaction) -> None:
        """Give an opportunity the contact of its primary role, or none; its own stamp does not move."""
        deal = self.tables["Opportunity"].rows.get(str(self.tables["OpportunityContactRole"].get(role, "OpportunityId")))
        if deal is not None:
            self.set_quietly("Opportunity", deal, {"ContactId": contact_id}, when)

    def children(self, name: str, field: str, parent_id: str) -> list[Row]:
        """The records that point at another one by a field, shown or not."""
        table = self.tables[name]
        found = {row.id: row for row in (*table.by_value(field).get(parent_id, ()), *table.held_back())}
        return [row for row in found.values() if table.get(row, field) == parent_id]

    def instant(self, name: str, row: Row, field: str) -> int:
        """An instant that a record surely holds."""
        return cast("int", self.tables[name].get(row, field))

    def unpacked(self, name: str, row: Row) -> dict[str, Value]:
        """A record's values by field; what was never said is false, not null, where a field is a boolean."""
        values = {one: value_at(row.values, column) for one, column in self.tables[name].columns.items()}
        for one, field in self.schema.fields[name].items():
            if field.type == "boolean" and values[one] is None:
                values[one] = False
        return values

    def checked(self, name: str, fields: Mapping[str, object]) -> dict[str, Value]:
        """Values as they are stored; ValueError for an unknown field or a value that does not fit."""
        known = self.schema.fields[name]
        unknown = fields.keys() - known.keys()
        if unknown:
            raise ValueError(f"{name} has no field {min(unknown)}")
        return {one: taken_in(known[one], value) for one, value in fields.items()}

    def _new_id(self, name: str) -> str:
        prefix = OBJECTS[name].prefix
        self._numbers[prefix] += 1
        made = make_id(prefix, self._numbers[prefix])
        return made if made not in self.tables[name].rows else self._new_id(name)

    def _system(self, name: str, record_id: str, when: Transaction) -> dict[str, Value]:
        system: dict[str, Value] = {
            "Id": record_id,
            "IsDeleted": False,
            "CreatedDate": when.at_ms,
            "CreatedById": USER_ID,
            "OwnerId": USER_ID,
            "LastModifiedDate": when.at_ms,
            "SystemModstamp": when.stamp_ms or when.at_ms,
        }
        columns = self.tables[name].columns
        return {one: value for one, value in system.items() if one in columns}

    def _defaults(self, name: str, given: Mapping[str, Value], when: Transaction) -> dict[str, Value]:
        defaults: dict[str, Value] = {}
        if name == "Lead":
            default = next((one.name for one in self.statuses.values() if one.is_default), None)
            defaults = {"Status": default or next(iter(self.statuses), None), "LastName": "Lead", "IsConverted": False}
        elif name == "Opportunity":
            defaults = {"Name": "Opportunity", "StageName": next(iter(self.stages), None)}
            defaults["CloseDate"] = moment(when.at_ms).date().isoformat()
        elif name == "Contact":
            defaults = {"LastName": "Contact"}
        if self._currency and "CurrencyIsoCode" in self.schema.fields[name] and "CurrencyIsoCode" not in given:
            defaults["CurrencyIsoCode"] = self._currency
        return defaults

    def _follow_stage(
        self, values: dict[str, Value], given: Mapping[str, Value], old: Mapping[str, Value], when: Transaction
    ) -> None:
        stage = self.stages.get(str(values.get("StageName")))
        if values.get("StageName") != old.get("StageName"):
            if stage is not None and "Probability" not in given:
                values["Probability"] = float(stage.probability)
            values["IsWon"] = stage is not None and stage.is_won
            values["IsClosed"] = stage is not None and (stage.is_closed or stage.is_won)
            values["ForecastCategory"] = stage.forecast if stage else "Pipeline"
            if old:
                values["LastStageChangeDate"] = when.at_ms
        amount, probability = values.get("Amount"), values.get("Probability")
        values["ExpectedRevenue"] = (
            round(amount * probability / 100, 2) if isinstance(amount, float) and isinstance(probability, float) else None
        )

    def _write_stage_history(self, values: Mapping[str, Value], old: Mapping[str, Value], when: Transaction) -> None:
        copied = ("StageName", "ForecastCategory", "Amount", "ExpectedRevenue", "CloseDate", "Probability", "CurrencyIsoCode")
        name = "OpportunityHistory"
        table, record_id = self.tables[name], self._new_id(name)
        row: dict[str, Value] = self._system(name, record_id, when)
        row |= {one: values.get(one) for one in copied if one in table.columns}
        row |= {"OpportunityId": values["Id"], "PrevAmount": old.get("Amount"), "PrevCloseDate": old.get("CloseDate")}
        table.put(Row(record_id, self._packed(table, row)), when.at_ms, when.visible_ms)

    def _write_field(self, name: str, record_id: str, field: str, change: tuple[Value, Value], when: Transaction) -> None:
        history, parent_field = FIELD_HISTORIES[name]
        table, row_id = self.tables[history], self._new_id(history)
        known = self.schema.fields[name].get(field)
        row: dict[str, Value] = self._system(history, row_id, when)
        is_instant = known is not None and known.type == "datetime"
        old, new = (rest_text(int(one)) if is_instant and one is not None else one for one in change)
        row |= {parent_field: record_id, "Field": field, "OldValue": old, "NewValue": new}
        row["DataType"] = _DATA_TYPES.get(known.type if known else "", "Text")
        table.put(Row(row_id, self._packed(table, row)), when.at_ms, when.visible_ms)

    def _packed(self, table: Table, values: Mapping[str, Value]) -> Values:
        packed: list[Value] = [None] * table.width
        for one, value in values.items():
            packed[table.columns[one]] = value
        return tuple(packed)


def _derive(name: str, values: dict[str, Value]) -> None:
    """Names are put together from their parts."""
    if name in ("Lead", "Contact") or (name == "Account" and values.get("IsPersonAccount")):
        values["Name"] = " ".join(str(one) for one in (values.get("FirstName"), values.get("LastName")) if one)
