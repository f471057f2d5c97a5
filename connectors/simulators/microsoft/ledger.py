"""What the simulated Microsoft counts: one conversion for each goal, person and second; restated and retracted by the same."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

Key = tuple[str, str, datetime]


@dataclass(slots=True)
class Counted:
    """A conversion. `value` is its latest; `reported` is why further copies or corrections of it had no effect."""

    value: Decimal | None
    currency: str | None
    is_retracted: bool = False
    adjusted_at: datetime | None = None


@dataclass(slots=True)
class Ledger:
    """Conversions by key; silent refusals by reason, as the goal report shows them a day later."""

    conversions: dict[Key, Counted] = field(default_factory=dict)
    alerts: list[tuple[str, str]] = field(default_factory=list)

    def take(self, key: Key, value: Decimal | None, currency: str | None) -> None:
        """Count a conversion once."""
        if key in self.conversions:
            self.alerts.append((key[0], "DuplicateConversionKey"))
            return
        self.conversions[key] = Counted(value, currency)

    def adjust(self, key: Key, at: datetime, value: Decimal | None, currency: str | None) -> None:
        """Restate, or retract where `value` is None; what has no original, or is gone, shows in the report only."""
        found = self.conversions.get(key)
        if found is None:
            self.alerts.append((key[0], "AdjustmentOriginalNotFound"))
        elif found.is_retracted:
            self.alerts.append((key[0], "ConversionAlreadyRetracted"))
        elif found.adjusted_at is None or at > found.adjusted_at:
            found.adjusted_at = at
            found.is_retracted = value is None
            found.value, found.currency = (value, currency or found.currency) if value is not None else (None, None)

    @property
    def total(self) -> int:
        """Conversions that count."""
        return sum(not one.is_retracted for one in self.conversions.values())
