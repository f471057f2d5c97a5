"""Conversion of a lead: account, contact and opportunity in one transaction, with what is copied and what is not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectors.simulators.salesforce.ids import long_id
from connectors.simulators.salesforce.instants import moment
from connectors.simulators.salesforce.records import Transaction
from connectors.simulators.salesforce.table import Row, Value

if TYPE_CHECKING:
    from connectors.simulators.salesforce.org import Org

_ADDRESS = ("Street", "City", "State", "PostalCode", "Country", "CountryCode")
_COPIED = ("FirstName", "LastName", "Title", "Email", "Phone", "MobilePhone", "LeadSource", "HasOptedOutOfEmail")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a conversion is to make, and into whom."""

    contact_id: str | None
    account_id: str | None
    opportunity: Mapping[str, object] | None
    status: str
    has_role: bool


@dataclass(frozen=True, slots=True)
class Converted:
    """What a lead was converted into."""

    account_id: str
    contact_id: str
    opportunity_id: str | None


def convert(org: "Org", lead: Row, wanted: Wanted, when: Transaction) -> Converted:
    """Make or fill what is wanted and lock the lead; custom fields go where the org's lead mapping says, else nowhere."""
    records = org.records
    values = records.unpacked("Lead", lead)
    if values.get("IsConverted"):
        raise ValueError("the lead is converted already")
    account_id, contact_id = _account_and_contact(org, values, wanted, when)
    opportunity_id: str | None = None
    if wanted.opportunity is not None:
        fields: dict[str, object] = {
            "Name": f"{values.get('Company') or values.get('Name')}-",
            "LeadSource": values.get("LeadSource"),
        }
        fields |= {"AccountId": account_id, **_mapped(org, values, "Opportunity"), **wanted.opportunity}
        opportunity_id = records.insert("Opportunity", fields, when)
        if wanted.has_role:
            role = {"OpportunityId": opportunity_id, "ContactId": contact_id, "IsPrimary": True}
            records.insert("OpportunityContactRole", role, when)
    written: dict[str, object] = {"Status": wanted.status, "IsConverted": True}
    written |= {"ConvertedDate": moment(when.at_ms).astimezone(org.zone).date()}
    written |= {"ConvertedAccountId": account_id, "ConvertedContactId": contact_id, "ConvertedOpportunityId": opportunity_id}
    records.change("Lead", lead, written, when)
    records.write_field_history("Lead", lead.id, org.conversion_field, (None, None), when)
    return Converted(account_id, contact_id, opportunity_id)


def _account_and_contact(org: "Org", values: Mapping[str, Value], wanted: Wanted, when: Transaction) -> tuple[str, str]:
    contact = {one: values.get(one) for one in _COPIED} | {f"Mailing{one}": values.get(one) for one in _ADDRESS}
    contact |= _mapped(org, values, "Contact")
    if wanted.contact_id is not None:
        row = org.row("Contact", wanted.contact_id)
        account_id = wanted.account_id or org.records.tables["Contact"].get(row, "AccountId")
        _fill("Contact", row, contact, org, when)
        return str(account_id or _new_account(org, values, when)), row.id
    is_person = org.has_persons and not values.get("Company")
    account_id = long_id(wanted.account_id) if wanted.account_id else _new_account(org, values, when)
    if is_person:
        contact["IsPersonAccount"] = True
    contact_id = org.records.insert("Contact", {**contact, "AccountId": account_id}, when)
    if is_person:
        person = {"PersonContactId": contact_id, "PersonEmail": values.get("Email")}
        person["PersonMobilePhone"] = values.get("MobilePhone")
        org.records.change("Account", org.row("Account", account_id), person, when)
    return account_id, contact_id


def _new_account(org: "Org", values: Mapping[str, Value], when: Transaction) -> str:
    fields: dict[str, object] = {"Name": values.get("Company") or values.get("Name"), "Phone": values.get("Phone")}
    fields |= {f"Billing{one}": values.get(one) for one in _ADDRESS}
    if org.has_persons and not values.get("Company"):
        fields |= {"IsPersonAccount": True, "FirstName": values.get("FirstName"), "LastName": values.get("LastName")}
    return org.records.insert("Account", {**fields, **_mapped(org, values, "Account")}, when)


def _fill(name: str, row: Row, fields: Mapping[str, Value], org: "Org", when: Transaction) -> None:
    """Give an existing record the values where it has none."""
    held = org.records.unpacked(name, row)
    filled = {one: value for one, value in fields.items() if value is not None and held.get(one) is None}
    if filled:
        org.records.change(name, row, filled, when)


def _mapped(org: "Org", values: Mapping[str, Value], name: str) -> dict[str, Value]:
    return {field: values.get(one) for one, (target, field) in org.lead_mapping.items() if target == name}
