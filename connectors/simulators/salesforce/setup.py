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
        org.records.insert("EntityDefinition", {"QualifiedApiName": name}, _LONG_AGO, name)


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


def list_fields(org: "Org", name: str) -> None:
    """FieldDefinition: what the user sees of an object that may have history, and which fields are tracked."""
    table = org.records.tables["FieldDefinition"]
    for row in list(table.rows.values()):
        if table.get(row, "EntityDefinitionId") == name:
            table.drop(row)
    for field in org.schema.seen(name):
        is_tracked = field.name in org.schema.tracked[name]
        fields = {"EntityDefinitionId": name, "QualifiedApiName": field.name, "IsFieldHistoryTracked": is_tracked}
        org.records.insert("FieldDefinition", fields, _LONG_AGO)


def _replace(org: "Org", name: str, rows: Iterable[Mapping[str, object]]) -> None:
    table = org.records.tables[name]
    for row in list(table.rows.values()):
        table.drop(row)
    for fields in rows:
        org.records.insert(name, fields, _LONG_AGO)
