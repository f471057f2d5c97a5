"""One account per lead: what its conversions carry together never exceeds what the lead is worth (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from app.mapping.aggregate import Aggregate, ConversionState, KnownRecord, ValueState
from app.mapping.document import MappingDocument
from app.mapping.rates import MILLIONTHS, Rates
from app.mapping.stays import DISQUALIFIED
from app.mapping.values import LARGEST_MICROS, account_rate, with_account_rate
from connectors.contract.conversions import Money
from connectors.contract.records import ObjectKind

# What stands before it in `value_why` explains the conversion's own value, what stands behind it its share.
CARRIES = "; it carries "
# A milestone that the mapping does not name any more has none.
UNRANKED = -1

Place = tuple[int, float, str]


@dataclass(frozen=True, slots=True)
class Account:
    """A lead, or a deal that has nobody. `id`: the lead's, else the deal's record's.

    `deals`: by the id of a record, also of one that was merged into another, the deal that it is now.
    """

    id: int
    lead_id: int | None
    deals: Mapping[int, KnownRecord]

    @classmethod
    def of(cls, aggregate: Aggregate) -> "Account":
        """The account of an aggregate."""
        deals = {record.id: deal.record for deal in aggregate.deals for record in (deal.record, *deal.merged)}
        if aggregate.person is None:
            return cls(aggregate.deals[0].record.id, None, deals)
        return cls(aggregate.person.lead_id, aggregate.person.lead_id, deals)

    def holds(self, state: ConversionState) -> bool:
        """Whether a conversion is of this account."""
        if state.lead_id is not None or self.lead_id is not None:
            return state.lead_id == self.lead_id
        return state.record_id in self.deals


@dataclass(frozen=True, slots=True)
class Settled:
    """The conversions of an account that change, and its worth (None: nothing is valued, or a rate is missing)."""

    changed: tuple[ConversionState, ...] = ()
    worth: Money | None = None


@dataclass(slots=True)
class _Line:
    """A live conversion of known value, in the account's currency. `carried` None: not settled yet.

    `rise`: by how much its own value grew. `rate`: millionths of the account's currency for one of what it carries.
    """

    state: ConversionState
    place: Place
    deal_id: int | None
    worth: int
    carried: int | None
    rise: int = 0
    rate: int = MILLIONTHS
    is_share: bool = True
    is_only_reported: bool = False
    is_outside: bool = False
    notes: list[str] = field(default_factory=list)


class _RateMissing(Exception):
    """Without it the account cannot be added up."""


def settle_account(
    account: Account,
    states: Iterable[ConversionState],
    before: Mapping[str, ConversionState],
    document: MappingDocument,
    rates: Rates,
    home_currency: str,
) -> Settled:
    """What each conversion of an account carries. `before`: the stored ones by uid; `states`: as they should be now.

    Conversions that carry nothing yet take, in the order of their instants, what the worth exceeds the others by; what grew
    adds the difference, the highest milestone first; an excess is taken from the highest milestone backwards. A conversion that
    was made in `absolute` mode keeps its value and counts with it. Where a currency rate is missing, what is new waits for it
    and the rest stays. `home_currency`: through which currencies are converted that have no rate into each other.
    """
    valued = [one for one in states if one.value_state is ValueState.READY and (one.nominal or one.money)]
    mine = [one for one in valued if one.is_live]
    if not document.is_incremental:
        return Settled(tuple(moved for one in mine if (moved := _moved_alone(one, before.get(one.uid))) is not one))
    if not valued:
        return Settled()
    book = _Book(account, document, rates, home_currency)
    try:
        book.open(mine, before, book.currency_of(mine or valued))
    except _RateMissing as missing:
        waiting = [one for one in mine if one.money is None and not _is_only_reported(one, document)]
        return Settled(tuple(replace(one, value_state=ValueState.RATE, nominal=None, value_why=str(missing)) for one in waiting))
    book.settle()
    return Settled(tuple(book.changed()), Money(book.worth(), book.currency))


def _moved_alone(state: ConversionState, before: ConversionState | None) -> ConversionState:
    """A share of old, under a mapping that knows no accounts: it follows its own value, and nobody else's."""
    was, now, carried = before.nominal if before else None, state.nominal, state.money
    if was is None or now is None or carried is None or was == now or not was.currency == now.currency == carried.currency:
        return state
    micros = max(0, carried.amount_micros + now.amount_micros - was.amount_micros)
    return _carrying(state, Money(micros, carried.currency), "its own value changed")


def _is_only_reported(state: ConversionState, document: MappingDocument) -> bool:
    milestone = document.named(state.milestone)
    return state.is_implied and (milestone is None or milestone.implied != "send")


class _Book:
    """One account, added up in one currency."""

    def __init__(self, account: Account, document: MappingDocument, rates: Rates, home_currency: str) -> None:
        self._account = account
        self._document = document
        self._rates = rates
        self._home = home_currency
        self._lines: list[_Line] = []
        self._pending: list[_Line] = []
        self.currency = home_currency

    def open(self, states: Sequence[ConversionState], before: Mapping[str, ConversionState], currency: str) -> None:
        """Read the conversions. Raises _RateMissing."""
        self.currency = currency
        for state in states:
            line = self._line(state, before.get(state.uid))
            (self._lines if line.carried is not None else self._pending).append(line)
        self._pending.sort(key=lambda line: (line.state.occurred_at, line.place))

    def settle(self) -> None:
        """Let every line carry what it should."""
        for line in self._pending:
            self._lines.append(line)
            if line.is_only_reported:
                line.notes.append("nothing, as it is only reported")
                continue
            others, worth = self._carried(), self.worth()
            line.carried = 0 if line.is_outside else max(0, worth - others)
            told = f"{self._shown(line.carried)}: the lead is worth {self._shown(worth)}"
            line.notes.append(f"{told}, of which {self._shown(others)} is carried by others" if others else told)
        shares = [line for line in self._lines if line.is_share and line.carried is not None]
        by_rank = sorted(shares, key=attrgetter("place"), reverse=True)
        worth = self.worth()
        for line in by_rank:
            up = min(line.rise, worth - self._carried())
            if up > 0:
                self._move(line, up, worth)
        for line in by_rank:
            down = min(line.carried or 0, self._carried() - worth)
            if down > 0:
                self._move(line, -down, worth)

    def worth(self) -> int:
        """The larger of the highest milestone of the person and the sum of each deal's highest that is still held."""
        best: dict[int | None, _Line] = {}
        for line in self._lines:
            if line.is_outside or (line.deal_id is not None and not line.state.is_held):
                continue
            if line.deal_id not in best or best[line.deal_id].place < line.place:
                best[line.deal_id] = line
        person = best.pop(None, None)
        in_deals = sum(line.worth for line in best.values())
        return min(LARGEST_MICROS, max(in_deals, person.worth if person is not None else 0))

    def changed(self) -> Iterable[ConversionState]:
        """The conversions that carry something else than they did, or must remember a rate."""
        for line in self._lines:
            state = line.state
            if line.carried is not None and line.notes:
                state = _carrying(state, self._own_money(line, line.carried), line.notes[-1])
            elif line.notes:
                state = replace(state, value_why=_with_share(state.value_why, line.notes[-1]))
            yield state

    def _carried(self) -> int:
        return sum(line.carried or 0 for line in self._lines)

    def _move(self, line: _Line, by: int, worth: int) -> None:
        """Change what is carried already; in another currency it is rounded down, so that the sum never exceeds the worth."""
        line.carried = (line.carried or 0) + by
        if line.rate != MILLIONTHS:
            own = line.carried * MILLIONTHS // line.rate
            line.carried = own * line.rate // MILLIONTHS
        change = f"{self._shown(abs(by))} {'more' if by > 0 else 'less'} than before"
        line.notes.append(f"{self._shown(line.carried)}, {change}: the lead is worth {self._shown(worth)} now")

    def _own_money(self, line: _Line, carried: int) -> Money:
        held = line.state.money
        if held is None or held.currency == self.currency:
            return Money(carried, self.currency)
        return Money(-(-carried * MILLIONTHS // line.rate), held.currency)

    def currency_of(self, states: Sequence[ConversionState]) -> str:
        """That of the newest deal, of whose highest milestone; without deals that of the person's highest."""

        def order(one: ConversionState) -> tuple[object, ...]:
            deal_id = self._deal_of(one)
            deal = self._account.deals.get(deal_id) if deal_id is not None else None
            made = (deal.created_at or deal.modified_at).timestamp() if deal is not None else float("-inf")
            return deal_id is not None, made, deal.ref.external_id if deal is not None else "", self._place(one)

        newest = max(states, key=order)
        value = newest.nominal or newest.money
        return value.currency if value is not None else self._home

    def _line(self, state: ConversionState, before: ConversionState | None) -> _Line:
        value = state.nominal or state.money
        if value is None:
            raise ValueError(f"conversion {state.uid} has no value")
        was = before.nominal if before is not None and before.money is not None else None
        state, worth, _ = self._converted(state, value)
        carried, rate = None, MILLIONTHS
        if state.money is not None:
            state, carried, rate = self._converted(state, state.money)
        grew = value.amount_micros - was.amount_micros if was is not None and was.currency == value.currency else 0
        return _Line(
            state=state,
            place=self._place(state),
            deal_id=self._deal_of(state),
            worth=worth,
            carried=carried,
            rise=self._converted(state, Money(grew, value.currency))[1] if grew > 0 else 0,
            rate=rate,
            is_share=state.nominal is not None and self._document.named(state.milestone) is not None,
            is_only_reported=_is_only_reported(state, self._document),
            is_outside=state.milestone == DISQUALIFIED,
        )

    def _place(self, state: ConversionState) -> Place:
        milestone = self._document.named(state.milestone)
        rank = UNRANKED if milestone is None else self._document.rank(milestone.name)
        return rank, state.occurred_at.timestamp(), state.uid

    def _deal_of(self, state: ConversionState) -> int | None:
        """The deal that a conversion is about, None where it is about the person."""
        deal = self._account.deals.get(state.record_id)
        if state.scope_kind == ObjectKind.DEAL.value:
            return state.record_id if deal is None else deal.id
        return deal.id if deal is not None and state.scope_kind == ObjectKind.COMPANY.value else None

    def _converted(self, state: ConversionState, money: Money) -> tuple[ConversionState, int, int]:
        """In the account's currency, rounded down, by the rate of the conversion's day, which it remembers from then on."""
        if money.currency == self.currency:
            return state, money.amount_micros, MILLIONTHS
        rate = account_rate(state.value_basis, money.currency, self.currency)
        if rate is None:
            rate = self._rates.through(state.occurred_at.date(), money.currency, self.currency, self._home)
            if not rate:
                said = f"no rate from {money.currency} to {self.currency}, in which the lead's account is kept"
                raise _RateMissing(said)
            state = replace(state, value_basis=with_account_rate(state.value_basis, money.currency, self.currency, rate))
        return state, min(LARGEST_MICROS, money.amount_micros * rate // MILLIONTHS), rate

    def _shown(self, micros: int) -> str:
        return f"{Money(micros, self.currency).quantised()} {self.currency}"


def _carrying(state: ConversionState, money: Money, note: str) -> ConversionState:
    return replace(state, money=money, value_why=_with_share(state.value_why, note))


def _with_share(why: str, note: str) -> str:
    return f"{why.partition(CARRIES)[0]}{CARRIES}{note}"
