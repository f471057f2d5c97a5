"""What is legal in a mapping but unwise: told beside its mistakes, never in the way of storing it (pure)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from app.mapping.condition_model import Condition, Operator, Scored
from app.mapping.document import IdentityRules, MappingDocument
from connectors.contract.conversions import Identifier
from connectors.contract.destination import DestinationLimits

OWN = "own_click_or_lead_id"
# So many leads must have come to a milestone before their delay says what is usual.
LEAST_LEADS = 20

# What each field of `identity` gives a platform; all others give the identifier of their own name.
_GIVES: Mapping[str, frozenset[Identifier]] = {
    "email": frozenset({Identifier.EMAIL_SHA256, Identifier.EMAIL_GOOGLE_SHA256, Identifier.EMAIL_MICROSOFT_SHA256}),
    "phone": frozenset({Identifier.PHONE_SHA256, Identifier.PHONE_DIGITS_SHA256}),
    "first_name": frozenset({Identifier.FIRST_NAME_GOOGLE_SHA256, Identifier.FIRST_NAME_META_SHA256}),
    "last_name": frozenset({Identifier.LAST_NAME_GOOGLE_SHA256, Identifier.LAST_NAME_META_SHA256}),
    "postal_code": frozenset({Identifier.POSTAL_CODE, Identifier.POSTAL_CODE_META_SHA256}),
    "country": frozenset({Identifier.COUNTRY, Identifier.COUNTRY_META_SHA256}),
    "city": frozenset({Identifier.CITY_META_SHA256}),
    "state": frozenset({Identifier.STATE_META_SHA256}),
    "external_id": frozenset({Identifier.EXTERNAL_ID_SHA256}),
    "fbclid": frozenset({Identifier.FBC}),
}
_NO_IDENTIFIERS = ("clicked_at", "default_country")
_OF_EMPTINESS = frozenset({Operator.IS_EMPTY, Operator.IS_SET})
_TRUE_OF_NOTHING = frozenset({Operator.NE, Operator.NOT_IN, Operator.IS_EMPTY})


@dataclass(frozen=True, slots=True)
class MappingWarning:
    """What an operator may not have meant, and where."""

    path: str
    message: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class Delay:
    """How long after their first touch people came to a milestone: half of so many took longer than the median."""

    median: timedelta
    leads: int


def warnings_of(
    document: MappingDocument, platforms: Mapping[str, DestinationLimits], delays: Mapping[str, Delay] | None = None
) -> tuple[MappingWarning, ...]:
    """Everything unwise. `platforms`: what each destination takes, by name; `delays`: by milestone, where history is stored."""
    return (
        *_of_identity(document),
        *_of_consent(document),
        *_of_exclusion(document),
        *_of_values(document),
        *(
            warning
            for name, targets in document.destinations.items()
            for warning in _of_destination(document, name, targets, platforms.get(name), delays or {})
        ),
    )


def identifiers_of(identity: IdentityRules) -> frozenset[Identifier]:
    """What the mapped fields may give a platform."""
    mapped = [name for name in IdentityRules.model_fields if name not in _NO_IDENTIFIERS and getattr(identity, name)]
    return frozenset().union(*(_GIVES.get(name) or {Identifier(name)} for name in mapped))


def _of_identity(document: MappingDocument) -> Iterator[MappingWarning]:
    identity = document.identity
    if identity.phone and not identity.country and identity.default_country is None:
        said = "without `country` or `default_country` only numbers with their country's code (+49 ...) can be read"
        yield MappingWarning("identity.phone", said)


def _of_consent(document: MappingDocument) -> Iterator[MappingWarning]:
    rules = document.consent
    if rules.not_required and (rules.ad_user_data or rules.ad_personalization):
        said = "`not_required: true` goes before the fields beside it: what people said is not looked at"
        yield MappingWarning("consent.not_required", said)
    if rules.where_required is not None and not rules.not_required and not document.identity.country:
        said = "`identity.country` is not mapped, and a country that is not known counts as one of these: all are asked for it"
        yield MappingWarning("consent.where_required", said)


def _of_exclusion(document: MappingDocument) -> Iterator[MappingWarning]:
    for place, condition in enumerate(document.exclude):
        if _holds_of_nothing(condition) and not _asks_for_emptiness(condition):
            fields = ", ".join(f"`{name}`" for name in sorted(condition.fields()))
            said = f"also true where {fields} is empty, so everybody without it is excluded; put `op: is_set` beside it in `all`"
            yield MappingWarning(f"exclude[{place}]", said)


def _holds_of_nothing(condition: Condition) -> bool:
    """Whether it is true of somebody of whom no field is filled."""
    if condition.all is not None:
        return all(_holds_of_nothing(part) for part in condition.all)
    if condition.any is not None:
        return any(_holds_of_nothing(part) for part in condition.any)
    if condition.not_ is not None:
        return not _holds_of_nothing(condition.not_)
    if condition.points is not None:
        given = sum(one.points for one in condition.points if one.op in _TRUE_OF_NOTHING)
        return given >= (condition.threshold or 0)
    return condition.op in _TRUE_OF_NOTHING


def _asks_for_emptiness(condition: Condition) -> bool:
    """Whether the operator has thought of empty fields."""
    parts: list[Condition | Scored] = [*(condition.all or ()), *(condition.any or ()), *(condition.points or ())]
    parts += [] if condition.not_ is None else [condition.not_]
    if condition.op in _OF_EMPTINESS:
        return True
    return any(_asks_for_emptiness(one) if isinstance(one, Condition) else one.op in _OF_EMPTINESS for one in parts)


def _of_values(document: MappingDocument) -> Iterator[MappingWarning]:
    for place, milestone in enumerate(document.milestones):
        told = [name for name, targets in document.destinations.items() if targets.get(milestone.name) is not None]
        if milestone.value is None and told:
            said = f"`{milestone.name}` goes to {_listed(told)} without a value: bidding cannot tell a good one from a poor one"
            yield MappingWarning(f"milestones[{place}]", said)


def _of_destination(
    document: MappingDocument,
    name: str,
    targets: Mapping[str, object],
    limits: DestinationLimits | None,
    delays: Mapping[str, Delay],
) -> Iterator[MappingWarning]:
    path = f"destinations.{name}"
    sent = {one.name: targets[one.name] for one in document.milestones if targets.get(one.name) is not None}
    if not sent:
        yield MappingWarning(path, "names no target: nothing is sent there")
        return
    seen: dict[str, str] = {}
    for milestone, target in sent.items():
        first = seen.setdefault(repr(target), milestone)
        if first != milestone:
            yield MappingWarning(f"{path}.{milestone}", f"has the target of `{first}`: who reaches both is counted twice there")
    if limits is not None:
        yield from _of_identifiers(document, path, str(targets.get("send_when") or limits.send_when), limits)
        yield from _of_age(path, sent, limits, delays)


def _of_identifiers(document: MappingDocument, path: str, send_when: str, limits: DestinationLimits) -> Iterator[MappingWarning]:
    given = identifiers_of(document.identity)
    clicks = " or ".join(f"`{one}`" for one in _fields_of(limits.click_identifiers))
    if not any(needed <= given for needed in limits.sufficient):
        yield MappingWarning(path, f"nothing of `identity` suffices there, so nothing is sent: map e-mail, phone or {clicks}")
    elif not given & limits.click_identifiers and send_when == OWN:
        said = f"only who came by a click of its own is sent there, and no {clicks} is mapped: nothing is sent"
        yield MappingWarning(path, said)
    elif not given & limits.click_identifiers:
        said = f"no {clicks} is mapped in `identity`: people are found there by what they typed alone, which finds fewer"
        yield MappingWarning(path, said)


def _of_age(
    path: str, sent: Mapping[str, object], limits: DestinationLimits, delays: Mapping[str, Delay]
) -> Iterator[MappingWarning]:
    oldest = limits.click_age or limits.age_with_click
    for milestone in sent:
        delay = delays.get(milestone)
        if delay is not None and delay.leads >= LEAST_LEADS and delay.median > oldest:
            said = (
                f"half of {delay.leads} took more than {delay.median.days} days from their first touch to `{milestone}`, and a "
                f"click may be {oldest.days} days old there: these come too late; send an earlier milestone too"
            )
            yield MappingWarning(f"{path}.{milestone}", said)


def _fields_of(identifiers: frozenset[Identifier]) -> list[str]:
    """The fields of `identity` that give one of these, in the order of the document."""
    names = [name for name in IdentityRules.model_fields if name not in _NO_IDENTIFIERS]
    return [name for name in names if (_GIVES.get(name) or {Identifier(name)}) & identifiers]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
