"""What our own history teaches of a source's milestones: figures by segment, as JSON text, and what a conversion keeps (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import orjson

from app.mapping.document import MappingDocument
from app.mapping.value_model import PREDICTED, ValueModel
from connectors.contract.conversions import Money

Segment = tuple[str, ...]

# Fewer than these of a whole milestone say too little: the fallback stands in.
LEAST_LEADS = 50
LEAST_WON = 10
# A smaller segment has no figures of its own: they would hardly differ from the whole's, and might tell of one person.
LEAST_OF_A_SEGMENT = 5
MILLIONTHS = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of leads that reached a milestone. `chance`: that they come to be won, in six decimals.

    `average_micros`: won revenue per lead; `won_micros`: won revenue per lead that was won; None where no amount is known.
    """

    leads: int
    won: int
    lost: int
    chance: Decimal
    average_micros: int | None = None
    won_micros: int | None = None


@dataclass(frozen=True, slots=True)
class MilestoneFit:
    """One milestone's figures, of all its leads and by segment. `by` names the parts of a segment.

    Left out of the amounts: `unconverted` sales, which no rate brings into `currency`, and `unvalued` ones, without amount.
    """

    by: Segment
    currency: str
    whole: Figures
    segments: Mapping[Segment, Figures] = field(default_factory=dict)
    unconverted: int = 0
    unvalued: int = 0

    @property
    def is_enough(self) -> bool:
        """True where there are cases enough to value by."""
        return self.whole.leads >= LEAST_LEADS and self.whole.won >= LEAST_WON

    @property
    def largest(self) -> list[tuple[Segment, Figures]]:
        """The segments with the most leads first."""
        return sorted(self.segments.items(), key=lambda one: (-one[1].leads, one[0]))

    def suits(self, model: ValueModel, home_currency: str) -> bool:
        """True where it was made for a model like this one."""
        return self.by == model.by and self.currency == (model.currency or home_currency)


@dataclass(frozen=True, slots=True)
class Fit:
    """All figures of a source as of one instant, by milestone. Version 0: not stored yet."""

    fitted_at: datetime
    mapping_version: int
    milestones: Mapping[str, MilestoneFit] = field(default_factory=dict)
    version: int = 0

    def lacks(self, document: MappingDocument, home_currency: str) -> list[str]:
        """The milestones whose models it was not made for."""
        return [
            name
            for name, model in document.learns.items()
            if (found := self.milestones.get(name)) is None or not found.suits(model, home_currency)
        ]


@dataclass(frozen=True, slots=True)
class KeptFigures:
    """What a conversion keeps of the fit by which it was valued, so that a later fit changes nothing of it.

    `segment`: names with values, empty where all leads were counted; `micros` is the average, of `predicted` the won amount.
    """

    version: int
    day: str
    leads: int
    currency: str
    segment: tuple[tuple[str, str], ...] = ()
    chance: str | None = None
    micros: int | None = None

    @property
    def counted(self) -> str:
        """Whose figures these are, for the trace."""
        named = " and ".join(f"{name}={value or 'empty'}" for name, value in self.segment)
        return f"{self.leads:,} leads{f' of {named}' if named else ''} ({name_of(self.version)} of {self.day})"

    @classmethod
    def read(cls, data: Mapping[str, object]) -> "KeptFigures":
        """As `asdict` wrote it and JSON kept it."""
        given = {**data, "segment": tuple((str(name), str(value)) for name, value in _pairs(data["segment"]))}
        return cls(**given)  # type: ignore[arg-type]  # the keys and types that it wrote itself


def kept_of(fit: Fit | None, milestone: str, model: ValueModel, segment: Segment, home_currency: str) -> KeptFigures | str:
    """The figures to value by; a text where there are none: why the fallback stands in."""
    if fit is None:
        return "no fit yet"
    found = fit.milestones.get(milestone)
    if found is None or not found.suits(model, home_currency):
        return f"no fit yet ({name_of(fit.version)} was made for another mapping)"
    if not found.is_enough:
        few = f"too few cases: {found.whole.leads} leads, {found.whole.won} won"
        return f"{few}, of at least {LEAST_LEADS} and {LEAST_WON} ({name_of(fit.version)})"
    own = found.segments.get(segment) if found.by else None
    figures = own or found.whole
    micros = figures.won_micros if model.model == PREDICTED else figures.average_micros
    if micros is None and model.field is None:
        return f"no won amount is known ({name_of(fit.version)})"
    return KeptFigures(
        version=fit.version,
        day=fit.fitted_at.astimezone(UTC).date().isoformat(),
        leads=figures.leads,
        currency=found.currency,
        segment=() if own is None else tuple(zip(found.by, segment, strict=True)),
        chance=str(figures.chance) if model.model == PREDICTED else None,
        micros=micros,
    )


def name_of(version: int) -> str:
    """What a fit is called; a preview makes one that is not stored."""
    return f"fit {version}" if version else "a fit for this look"


def shown(micros: int, currency: str) -> str:
    """An amount for people."""
    return f"{Money(micros, currency).quantised()} {currency}"


def write_fit(fit: Fit) -> str:
    """The milestones of a fit as JSON text."""
    told = {
        name: {
            "by": one.by,
            "currency": one.currency,
            "whole": _figures_json(one.whole),
            "segments": [{"of": segment, **_figures_json(figures)} for segment, figures in one.segments.items()],
            "unconverted": one.unconverted,
            "unvalued": one.unvalued,
        }
        for name, one in fit.milestones.items()
    }
    return orjson.dumps(told).decode()


def read_fit(text: str, *, version: int, mapping_version: int, fitted_at: datetime) -> Fit:
    """A fit as `write_fit` wrote it."""
    milestones = {
        name: MilestoneFit(
            by=tuple(one["by"]),
            currency=one["currency"],
            whole=_figures(one["whole"]),
            segments={tuple(part["of"]): _figures(part) for part in one["segments"]},
            unconverted=one["unconverted"],
            unvalued=one["unvalued"],
        )
        for name, one in orjson.loads(text).items()
    }
    return Fit(fitted_at, mapping_version, milestones, version)


def _figures_json(one: Figures) -> dict[str, object]:
    return {**asdict(one), "chance": str(one.chance)}


def _figures(data: Mapping[str, object]) -> Figures:
    numbers = {name: data[name] for name in ("leads", "won", "lost", "average_micros", "won_micros")}
    return Figures(**numbers, chance=Decimal(str(data["chance"])))  # type: ignore[arg-type]  # as it was written


def _pairs(data: object) -> Sequence[Sequence[object]]:
    return data if isinstance(data, list | tuple) else ()
