"""What Salesforce calls our four kinds, and the objects around them; what is asked of one (data)."""

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.contract.records import ObjectKind
from connectors.contract.selection import ObjectSelection

ROLE = "OpportunityContactRole"
STAGE_HISTORY = "OpportunityHistory"
MODIFIED = "SystemModstamp"
CREATED = "CreatedDate"
MASTER = "MasterRecordId"
# Our own mark on a row that was read before its SystemModstamp's second was over.
IS_EARLY = "leadloop.is_early"
CURRENCY = "CurrencyIsoCode"
STAGE_NAME = "StageName"
STATUS = "Status"
CONVERTED_CONTACT = "ConvertedContactId"
CONVERTED_DEAL = "ConvertedOpportunityId"
DEAL_CONTACT = "ContactId"
PERSON_ACCOUNT = ("IsPersonAccount", "PersonContactId")

# What every row of OpportunityHistory holds, whatever is tracked.
STAGE_HISTORY_FIELDS = frozenset({STAGE_NAME, "Amount", "Probability", "CloseDate", "ExpectedRevenue", "ForecastCategory"})


@dataclass(frozen=True, slots=True)
class SalesforceObject:
    """One kind. `history` and `history_key`: its field history and the field there that names the record.

    `always`: read whatever the selection asks, where the org shows it. `company`: the field that names the account.
    """

    name: str
    history: str
    history_key: str
    always: tuple[str, ...]
    stage: str | None = None
    company: str | None = None


OBJECTS: Mapping[ObjectKind, SalesforceObject] = {
    ObjectKind.CONTACT: SalesforceObject(
        name="Contact", history="ContactHistory", history_key="ContactId", always=(MASTER,), company="AccountId"
    ),
    ObjectKind.LEAD: SalesforceObject(
        name="Lead",
        history="LeadHistory",
        history_key="LeadId",
        always=(MASTER, "IsConverted", CONVERTED_CONTACT, CONVERTED_DEAL),
        stage=STATUS,
        company="ConvertedAccountId",
    ),
    ObjectKind.DEAL: SalesforceObject(
        name="Opportunity",
        history="OpportunityFieldHistory",
        history_key="OpportunityId",
        always=(),
        stage=STAGE_NAME,
        company="AccountId",
    ),
    ObjectKind.COMPANY: SalesforceObject(name="Account", history="AccountHistory", history_key="AccountId", always=(MASTER,)),
}

KIND_BY_NAME: Mapping[str, ObjectKind] = {facts.name.lower(): kind for kind, facts in OBJECTS.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask of one kind. `from_history` are properties of its field history; of `tracked` it has every change."""

    kind: ObjectKind
    facts: SalesforceObject
    chosen: ObjectSelection
    fields: tuple[str, ...]
    stamp: str
    has_contact: bool = False
    has_person_accounts: bool = False
    from_history: frozenset[str] = frozenset()
    tracked: frozenset[str] = frozenset()
