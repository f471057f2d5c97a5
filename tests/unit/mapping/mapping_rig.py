"""A small CRM account for tests of the mapping: one pipeline of deals, lifecycle stages of contacts."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from app.mapping.aggregate import AccountFacts, Aggregate, ConversionState, Deal, KnownRecord, Person
from app.mapping.document import MappingDocument, parse_document
from app.mapping.engine import derive
from app.mapping.rates import Rates
from connectors.contract.records import Entry, ObjectKind, RecordRef, RecordState
from connectors.contract.source import (
    Option,
    PipelineSchema,
    PropertySchema,
    PropertyType,
    SourceSchema,
    StageSchema,
)

DAY_0 = datetime(2026, 11, 1, 12, tzinfo=UTC)
NO_RATES = Rates()
LIFECYCLE = ("subscriber", "lead", "mql", "sql", "customer")
STAGES = (
    StageSchema("new", "New", 0.1),
    StageSchema("qualified", "Qualified", 0.2),
    StageSchema("proposal", "Proposal", 0.5),
    StageSchema("won", "Won", 1.0, is_won=True),
    StageSchema("lost", "Lost", 0.0, is_lost=True),
)
OTHER = (StageSchema("won", "Renewed", 1.0, is_won=True),)

SCHEMA = SourceSchema(
    account_ref="8812",
    currency="USD",
    time_zone="UTC",
    properties={
        ObjectKind.CONTACT: {
            "lifecyclestage": PropertySchema(
                "lifecyclestage", "Stage", PropertyType.ENUM, tuple(Option(value, value) for value in LIFECYCLE)
            ),
            **{name: PropertySchema(name, name, PropertyType.TEXT) for name in ("email", "phone", "country", "score")},
        },
        ObjectKind.DEAL: {
            "dealstage": PropertySchema("dealstage", "Stage", PropertyType.ENUM),
            "amount": PropertySchema("amount", "Amount", PropertyType.MONEY, currency_property="currency"),
            "currency": PropertySchema("currency", "Currency", PropertyType.TEXT),
        },
    },
    pipelines=(
        PipelineSchema("default", "Sales", ObjectKind.DEAL, "dealstage", STAGES),
        PipelineSchema("renewals", "Renewals", ObjectKind.DEAL, "dealstage", OTHER),
    ),
)
FACTS = AccountFacts("hubspot", SCHEMA, 1)

DOCUMENT: dict[str, Any] = {
    "identity": {"email": "contact.email", "phone": ["contact.phone"], "country": ["contact.country"]},
    "consent": {"not_required": True, "because": "all customers signed the terms"},
    "milestones": [
        {"name": "lead", "when": [{"object": "contact", "created": True}]},
        {
            "name": "qualified_lead",
            "when": [{"object": "contact", "property": "lifecyclestage", "enters": ["mql", "sql"]}],
            "value": {"model": "fixed", "amount": 50, "currency": "USD"},
        },
        {
            "name": "opportunity",
            "when": [{"object": "deal", "property": "dealstage", "pipeline": "default", "enters": ["qualified", "proposal"]}],
            "value": {"model": "weighted", "field": "deal.amount", "probability": "stage"},
        },
        {
            "name": "closed_revenue",
            "when": [{"object": "deal", "property": "dealstage", "pipeline": "default", "enters": ["won"]}],
            "value": {"model": "field", "field": "deal.amount"},
        },
    ],
    "destinations": {"meta": {"lead": {"event_name": "Lead"}, "closed_revenue": {"event_name": "Purchase"}}},
}


def document(milestones: Mapping[str, Mapping[str, Any]] | None = None, **changes: Any) -> MappingDocument:
    """The document with changes at the top, and by milestone's name."""
    data = {**deepcopy(DOCUMENT), **changes}
    for milestone in data["milestones"]:
        milestone.update((milestones or {}).get(milestone["name"], {}))
    return parse_document(data)


def day(number: float) -> datetime:
    return DAY_0 + timedelta(days=number)


def stages(kind: ObjectKind, steps: Sequence[tuple[float, str]], pipeline: str | None = "default") -> tuple[Entry, ...]:
    name = "dealstage" if kind is ObjectKind.DEAL else "lifecyclestage"
    return tuple(Entry(name, value, day(at), pipeline if kind is ObjectKind.DEAL else None) for at, value in steps)


def contact(
    *steps: tuple[float, str],
    id_: int = 1,
    ref: str = "101",
    created: float | None = 0,
    aliases: tuple[str, ...] = (),
    company: str | None = None,
    state: RecordState = RecordState.LIVE,
    **fields: str,
) -> KnownRecord:
    return KnownRecord(
        id=id_,
        ref=RecordRef(ObjectKind.CONTACT, ref),
        state=state,
        modified_at=day(90),
        created_at=None if created is None else day(created),
        fields=fields,
        entries=stages(ObjectKind.CONTACT, steps),
        aliases=aliases,
        company_ref=company,
    )


def deal(
    *steps: tuple[float, str],
    id_: int = 2,
    ref: str = "202",
    pipeline: str | None = "default",
    state: RecordState = RecordState.LIVE,
    company: str | None = None,
    aliases: tuple[str, ...] = (),
    **fields: str,
) -> Deal:
    return Deal(
        KnownRecord(
            id=id_,
            ref=RecordRef(ObjectKind.DEAL, ref),
            state=state,
            modified_at=day(90),
            created_at=day(0),
            fields=fields,
            entries=stages(ObjectKind.DEAL, steps, pipeline),
            company_ref=company,
            aliases=aliases,
        )
    )


def person(*held: KnownRecord, lead_id: int = 7) -> Person:
    return Person(lead_id, day(0), held or (contact(),))


def run(
    who: Person | None,
    *deals: Deal,
    by: MappingDocument | None = None,
    known: Sequence[ConversionState] = (),
    rates: Rates = NO_RATES,
) -> dict[str, list[ConversionState]]:
    """What the engine answers, by milestone, each list by occurrence and instant."""
    answer: dict[str, list[ConversionState]] = {}
    aggregate = Aggregate(who, deals, tuple(known))
    for one in derive(aggregate, by or document(), FACTS, rates):
        answer.setdefault(one.milestone, []).append(one)
    for states in answer.values():
        states.sort(key=lambda one: (one.occurrence, one.occurred_at))
    return answer


def flat(answer: Mapping[str, Sequence[ConversionState]]) -> tuple[ConversionState, ...]:
    return tuple(one for states in answer.values() for one in states)
