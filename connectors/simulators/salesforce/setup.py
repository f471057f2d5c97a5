"""Rows that mirror the org's setup: stages, statuses, currencies, the organization, its user and its tracked fields."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from connectors.simulators.salesforce.catalogue import CURRENCY, FIELD_HISTORIES, Choice, Stage, Status
from connectors.simulators.salesforce.instants import EPOCH, millis
from connectors.simulators.salesforce.records import USER_ID, Transaction

if TYPE_CHECKING:
    from connectors.simulators.salesforce.org import Org

_LONG_AGO = Transaction(millis(EPOCH.replace(year=2020)))


def fill(org: "Org") -> None:
    """The rows that stay as they are."""
    about = {
        "Name": "Acme",
        "OrganizationType": "Enterprise Edition",
        "DefaultLocaleSidKey": "en_US",
        "TimeZoneSidKey": org.time_zone,
        "InstanceName": "USA1",
        "IsSandbox": org.is_sandbox,
    }
    org.records.insert("Organization", about, _LONG_AGO, org.org_id)
    user = {"Name": "Integration User", "Username": org.app.run_as, "Email": "integration@acme.example", "IsActive": True}
    org.records.insert("User", user, _LONG_AGO, USER_ID)
    rates = {org.currency: 1.0, **org.currencies} if org.currencies else {}
    for code, rate in rates.items():
        fields = {"IsoCode": code, "IsCorporate": code == org.currency, "IsActive": True, "ConversionRate": rate}
        org.records.insert("CurrencyType", {**fields, "DecimalPlaces": 2}, _LONG_AGO)
    for name, fields_of in org.schema.fields.items():
        if CURRENCY.name in fields_of:
            org.schema.give_choices(name, CURRENCY.name, [Choice(code) for code in rates])
    for name in FIELD_HISTORIES:
        for field in org.schema.tracked[name]:
            _list_tracked(org, name, field, is_on=True)


def list_stages(org: "Org", stages: Sequence[Stage]) -> None:
    """OpportunityStage and the picklist."""
    rows = (
        {
            "ApiName": one.name,
            "MasterLabel": one.label or one.name,
            "SortOrder": order,
            "IsActive": one.is_active,
            "IsClosed": one.is_closed or one.is_won,
            "IsWon": one.is_won,
            "DefaultProbability": one.probability,
            "ForecastCategoryName": one.forecast,
        }
        for order, one in enumerate(stages, start=1)
    )
    _replace(org, "OpportunityStage", rows)
    choices = [Choice(one.name, one.label, one.is_active) for one in stages]
    org.schema.give_choices("Opportunity", "StageName", choices)
    org.schema.give_choices("OpportunityHistory", "StageName", choices)


def list_statuses(org: "Org", statuses: Sequence[Status]) -> None:
    """LeadStatus and the picklist."""
    rows = (
        {
            "ApiName": one.name,
            "MasterLabel": one.label or one.name,
            "SortOrder": order,
            "IsConverted": one.is_converted,
            "IsDefault": one.is_default,
        }
        for order, one in enumerate(statuses, start=1)
    )
    _replace(org, "LeadStatus", rows)
    org.schema.give_choices("Lead", "Status", [Choice(one.name, one.label) for one in statuses])


def track(org: "Org", name: str, field: str, *, is_on: bool) -> None:
    """Switch a field's history; rows that were written stay."""
    if field not in org.schema.fields[name]:
        raise ValueError(f"{name} has no field {field}")
    (org.schema.tracked[name].add if is_on else org.schema.tracked[name].discard)(field)
    _list_tracked(org, name, field, is_on=is_on)


def _list_tracked(org: "Org", name: str, field: str, *, is_on: bool) -> None:
    table = org.records.tables["FieldDefinition"]
    for row in list(table.rows.values()):
        if (table.get(row, "EntityDefinitionId"), table.get(row, "QualifiedApiName")) == (name, field):
            table.drop(row)
    fields = {"EntityDefinitionId": name, "QualifiedApiName": field, "IsFieldHistoryTracked": is_on}
    org.records.insert("FieldDefinition", fields, _LONG_AGO)


def _replace(org: "Org", name: str, rows: Iterable[Mapping[str, object]]) -> None:
    table = org.records.tables[name]
    for row in list(table.rows.values()):
        table.drop(row)
    for fields in rows:
        org.records.insert(name, fields, _LONG_AGO)
