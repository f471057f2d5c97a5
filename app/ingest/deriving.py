"""The engine, run on every touched aggregate of a page in an order that no page can change (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from app.ingest.aggregates import Neighbourhood
from app.ingest.context import SourceContext
from app.ingest.conversion_repository import StoredConversion
from app.mapping.accounts import Account, settle_account
from app.mapping.aggregate import Aggregate, ConversionState
from app.mapping.duplicates import settle_duplicates
from app.mapping.engine import derive
from app.mapping.rates import Rates
from connectors.contract.conversions import Money


@dataclass(frozen=True, slots=True)
class Derived:
    """What should be; and by account what it is worth (None: nothing that is known), where leads have accounts."""

    states: list[ConversionState]
    worths: Mapping[int, Money | None] = field(default_factory=dict)


def derive_all(
    source: SourceContext,
    near: Neighbourhood,
    email_keys: Mapping[int, bytes | None],
    stored: Mapping[str, StoredConversion],
    rates: Rates,
) -> Derived:
    """What should be of the touched people and deals, and of others where it follows from them."""
    held = [_followed(one.state, near.merged_leads) for one in stored.values()]
    index = _Held(held)
    states: dict[str, ConversionState] = {}
    aggregates = _in_order(_aggregates(near, email_keys))
    for aggregate in aggregates:
        known = tuple(states.get(one.uid, one) for one in index.of(aggregate))
        aggregate = replace(aggregate, conversions=known)  # noqa: PLW2901 with what is known of it
        derived = derive(aggregate, source.document, source.facts, rates, fit=source.fit, renews_values=source.renews_values)
        for state in derived:
            if state.uid not in states and state.scope_kind == "company":
                index.add(state)
            states[state.uid] = state
    worths = _settle_accounts(source, aggregates, states, {one.uid: one for one in held}, rates)
    worths |= dict.fromkeys(near.merged_leads) if worths else {}
    email_of = {one.state.lead_id: one.email_key for one in stored.values() if one.state.lead_id is not None}
    email_of |= {lead_id: email_keys.get(lead_id) for lead_id in near.work_leads}
    return Derived(settle_duplicates(list(states.values()), held, email_of, source.document), worths)


def _settle_accounts(
    source: SourceContext,
    aggregates: Sequence[Aggregate],
    states: dict[str, ConversionState],
    before: Mapping[str, ConversionState],
    rates: Rates,
) -> dict[int, Money | None]:
    """Let the conversions of each account carry what they should; whose they are is known once all are derived."""
    if not source.document.is_incremental and all(one.nominal is None for one in states.values()):
        return {}
    by_lead: dict[int | None, list[ConversionState]] = {}
    for state in states.values():
        by_lead.setdefault(state.lead_id, []).append(state)
    worths: dict[int, Money | None] = {}
    for account in map(Account.of, aggregates):
        mine = [one for one in by_lead.get(account.lead_id, ()) if account.holds(one)]
        settled = settle_account(account, mine, before, source.document, rates, source.facts.schema.currency)
        states.update({one.uid: one for one in settled.changed})
        worths[account.id] = settled.worth
    for uid, state in before.items():  # a deal that had nobody has no account of its own any more
        if state.lead_id is None and uid in states and states[uid].lead_id is not None:
            worths.setdefault(state.record_id, None)
    return worths


def _followed(state: ConversionState, merged_leads: Mapping[int, int]) -> ConversionState:
    """A conversion of a merged person is the survivor's."""
    lead_id = merged_leads.get(state.lead_id) if state.lead_id is not None else None
    return state if lead_id is None else replace(state, lead_id=lead_id)


class _Held:
    """The stored conversions, found by lead, by record, by company."""

    def __init__(self, states: Iterable[ConversionState]) -> None:
        self._by: dict[tuple[str, object], dict[str, ConversionState]] = {}
        for state in states:
            self.add(state)

    def add(self, state: ConversionState) -> None:
        """Make one findable."""
        for key in (("lead", state.lead_id), ("record", state.record_id), (state.scope_kind, state.scope_key)):
            self._by.setdefault(key, {})[state.uid] = state

    def of(self, aggregate: Aggregate) -> list[ConversionState]:
        """All that bears on an aggregate."""
        found: dict[str, ConversionState] = {}
        records = [record for deal in aggregate.deals for record in (deal.record, *deal.merged)]
        if aggregate.person is not None:
            records += aggregate.person.records
            found |= self._by.get(("lead", aggregate.person.lead_id), {})
        for record in records:
            found |= self._by.get(("record", record.id), {})
            if record.company_ref is not None:
                found |= self._by.get(("company", record.company_ref), {})
        return list(found.values())


def _aggregates(near: Neighbourhood, email_keys: Mapping[int, bytes | None]) -> list[Aggregate]:
    by_lead = near.deals_by_lead(near.work_leads)
    people = [
        Aggregate(
            person=near.person(lead_id, email_keys.get(lead_id)),
            deals=tuple(near.deal(deal_id) for deal_id in sorted(by_lead.get(lead_id, ()))),
        )
        for lead_id in near.work_leads
    ]
    return people + [Aggregate(person=None, deals=(near.deal(deal_id),)) for deal_id in near.orphan_deals]


def _in_order(aggregates: Iterable[Aggregate]) -> list[Aggregate]:
    """Earliest entry first, so that of a page's people of one company the first in the CRM is the one that counts."""

    def key(one: Aggregate) -> tuple[object, ...]:
        records = [*(one.person.records if one.person else ()), *(deal.record for deal in one.deals)]
        instants = [entry.entered_at for record in records for entry in record.entries]
        instants += [record.created_at for record in records if record.created_at is not None]
        refs = sorted((len(record.ref.external_id), record.ref.external_id, record.ref.kind) for record in records)
        return not instants, min(instants) if instants else 0, refs

    return sorted(aggregates, key=key)
