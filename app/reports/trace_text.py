"""A trace as plain text for a terminal, and as JSON (pure)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime

from app.mapping.conditions import Check
from app.reports.trace_model import (
    AccountTrace,
    ConversionTrace,
    DeliveryTrace,
    EntryTrace,
    KeyTrace,
    LeadTrace,
    Trace,
    UnreachedTrace,
)
from connectors.contract.conversions import Money


def render(trace: Trace) -> str:
    """The trace for a person's eyes; control characters that a CRM may hold do not reach the terminal."""
    blocks = [
        _lead_lines(trace.lead, trace) + _account_lines(trace.account),
        _block("Was it sent?", (f"{one.destination}: {one.line}" for one in trace.answers)) if trace.answers else [],
        _block("Keys", (line for key in trace.keys for line in _key_lines(key))),
        _block("Entries", (_entry_line(entry) for entry in trace.entries)),
        _block("Conversions", (line for conversion in trace.conversions for line in _conversion_lines(conversion))),
        _block("Not reached", (line for one in trace.unreached for line in _unreached_lines(one))) if trace.unreached else [],
    ]
    return "\n".join(_printable(line) for block in blocks for line in block) + "\n"


def as_json(trace: Trace) -> dict[str, object]:
    """The trace as JSON can hold it: instants in ISO 8601 with Z, money as an amount in major units and a currency."""
    return {item.name: _json(getattr(trace, item.name)) for item in fields(trace)}


def _json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, Money):
        return {"amount": str(value.quantised()), "currency": value.currency}
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _json(inner) for name, inner in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence):
        return [_json(inner) for inner in value]
    return value


def _block(title: str, lines: Iterable[str]) -> list[str]:
    return ["", title, *([f"  {line}" for line in lines] or ["  none"])]


def _lead_lines(lead: LeadTrace | None, trace: Trace) -> list[str]:
    origin = f"{trace.source} ({trace.source_kind})"
    if lead is None:
        return [f"No lead is known here, in {origin}"]
    consent = f"ad_user_data {lead.consent.ad_user_data}, ad_personalization {lead.consent.ad_personalization}"
    touch = {
        "platform": lead.platform,
        "campaign": lead.campaign_id,
        "utm_campaign": lead.utm_campaign,
        "clicked at": None if lead.clicked_at is None else _instant(lead.clicked_at),
        "country": lead.country,
        **lead.dimensions,
    }
    return [
        f"Lead {lead.id} in {origin}, created {_instant(lead.created_at)}",
        f"  identifiers: {', '.join(lead.identifiers) or 'none'}",
        f"  consent: {consent}{_because(lead.consent_why)}",
        f"  first touch: {', '.join(f'{name} {value}' for name, value in touch.items() if value) or 'unknown'}",
    ]


def _account_lines(account: AccountTrace | None) -> list[str]:
    if account is None:
        return []
    lines = [f"  worth: {_money(account.worth)}"]
    for destination, told in account.told.items():
        excess = account.overstated[destination]
        over = f", overstated by {_money(excess)}" if excess is not None and excess.amount_micros else ""
        over = over if excess is not None else ", in another currency than the account: whether that is too much cannot be told"
        lines.append(f"    {destination} was told {' and '.join(_money(one) or '' for one in told)}{over}")
    return lines


def _key_lines(key: KeyTrace) -> Iterator[str]:
    facts = [key.state if key.merged_into is None else f"{key.state} into {key.merged_into}"]
    if key.stage:
        facts.append(f"stage {_labelled(key.stage, key.stage_label)}{f' in {key.pipeline}' if key.pipeline else ''}")
    if key.company:
        facts.append(key.company)
    facts += [*key.labels, *(["primary"] if key.is_primary else [])]
    yield f"{key.ref}  {', '.join(facts)}"
    yield from (f"  {url}" for url in (key.url, key.company_url) if url)


def _entry_line(entry: EntryTrace) -> str:
    value = _labelled(entry.value, entry.label) or "(emptied)"
    where = f" in {entry.pipeline}" if entry.pipeline else ""
    doubt = ", approximate" if entry.is_approximate else ""
    return f"{_instant(entry.entered_at)}  {entry.ref}  {entry.property} = {value}{where}  ({entry.origin}{doubt})"


def _conversion_lines(conversion: ConversionTrace) -> Iterator[str]:
    implied = ", implied" if conversion.is_implied else ""
    yield f"{conversion.milestone}  {_instant(conversion.occurred_at)}{implied}  {conversion.uid}"
    yield f"  once per {conversion.scope}, mapping version {conversion.mapping_version}{_because(conversion.explain)}"
    own = f" of its own {_money(conversion.nominal)}" if conversion.nominal is not None else ""
    yield f"  value: {_money(conversion.money) or conversion.value_state}{own}{_because(conversion.value_why)}"
    for valuation in conversion.valuations:
        yield f"    #{valuation.seq} {_instant(valuation.at)}: {_money(valuation.money) or 'no value'}{_because(valuation.why)}"
    if conversion.duplicate_of:
        yield f"  duplicate of {conversion.duplicate_of}, which counts instead"
    if not conversion.is_live:
        when = "" if conversion.ended_at is None else f" {_instant(conversion.ended_at)}"
        yield f"  ended{when}{_because(conversion.ended_why)}: {conversion.ended_sentence or 'no reason is stored'}"
    if not conversion.deliveries:
        yield "  owed to no destination"
    for delivery in conversion.deliveries:
        yield from (f"  {line}" for line in _delivery_lines(delivery))


def _delivery_lines(delivery: DeliveryTrace) -> Iterator[str]:
    code = f" [{delivery.code}]" if delivery.code else ""
    sentence = f": {delivery.sentence}" if delivery.sentence else ""
    reason = f" ({delivery.reason})" if delivery.reason else ""
    settled = "" if delivery.settled_at is None else f" {_instant(delivery.settled_at)}"
    yield f"{delivery.destination}: {delivery.kind} {delivery.state}{settled}{reason}{code}{sentence}"
    yield from (f"  {_check_line(one)}" for one in delivery.checks)
    if delivery.sent is not None:
        yield f"  carried {_money(delivery.sent)}"
    if delivery.person or delivery.person_why:
        yield f"  person: {delivery.person or 'none yet'}{_because(delivery.person_why)}"
    for one in delivery.tries:
        detail = " ".join(part for part in (one.code, one.message) if part)
        yield f"  try {one.n} {_instant(one.at)}: {one.outcome}{_because(detail)}"
    if delivery.next_step is not None:
        at = "" if delivery.next_step.at is None else f" {_instant(delivery.next_step.at)}"
        yield f"  next: {delivery.next_step.what}{at}"


def _unreached_lines(one: UnreachedTrace) -> Iterator[str]:
    nearest = " ".join(part for part in (one.ref, None if one.entered_at is None else _instant(one.entered_at)) if part)
    yield f"{one.milestone}: {one.code}{f', {nearest}' if nearest else ''}{_because(one.detail)}"
    yield from (f"  {_check_line(check)}" for check in one.checks)
    yield f"  {one.sentence}"


def _check_line(check: Check) -> str:
    note = f": {check.note}" if check.note else ""
    return f"{'yes' if check.holds else 'NO '}  {f'{check.path}  ' if check.path else ''}{check.text}{note}"


def _because(why: str | None) -> str:
    return f" ({why})" if why else ""


def _labelled(value: str, label: str | None) -> str:
    return f"{label} [{value}]" if label and label != value else value


def _money(money: Money | None) -> str | None:
    return None if money is None else f"{money.quantised()} {money.currency}"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in line)
