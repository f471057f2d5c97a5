"""What the way to a receiver does to a vendor's webhooks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Disorder:
    """What happens to events on their way: shares lost and doubled, and whether they are shuffled. Fixed by the seed.

    What a loss means is the vendor's: Salesforce repeats an outbound message that was not acknowledged, others lose the event.
    """

    seed: int = 0
    loss: float = 0.0
    duplication: float = 0.0
    is_shuffled: bool = False
