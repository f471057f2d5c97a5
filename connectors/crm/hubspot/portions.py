"""How much is asked for at once: less where HubSpot gives up on it, so that one heavy page does not stop a source for ever."""

from collections.abc import Awaitable
from typing import TypeVar

from connectors.contract.errors import Unavailable, UnexpectedReply

Answer = TypeVar("Answer")

MOST_HALVINGS = 3
ANSWERS_TO_GROW = 10
# A locked record and an account on the move have nothing to do with how much was asked for.
_NOT_OF_SIZE = frozenset({423, 477})


class Portion:
    """A share of the most that may be asked for: halved by an outage down to an eighth, doubled again after ten answers.

    A failed call is not repeated here; the next one asks for less.
    """

    def __init__(self) -> None:
        self._halvings = 0
        self._answers = 0

    def of(self, most: int) -> int:
        """How much to ask for where `most` is allowed; at least one."""
        return max(most >> self._halvings, 1)

    async def watch(self, asking: Awaitable[Answer]) -> Answer:
        """Wait for an answer and learn from it; errors come out as they are."""
        try:
            answer = await asking
        except (Unavailable, UnexpectedReply) as error:  # an answer cut short is garbage
            if error.status not in _NOT_OF_SIZE:
                self._halvings = min(self._halvings + 1, MOST_HALVINGS)
                self._answers = 0
            raise
        self._answers += 1
        if self._answers >= ANSWERS_TO_GROW and self._halvings:
            self._halvings -= 1
            self._answers = 0
        return answer
