"""What the doors stand in: the services once they are open, and who is asked for them."""

from dataclasses import dataclass

from starlette.datastructures import State

from app.api.problems import Problem, ProblemKind
from app.bootstrap.services import Services


@dataclass(slots=True)
class House:
    """Empty while the process starts; doors then answer 503."""

    services: Services | None = None

    def open(self) -> Services:
        """The services; a Problem before they are there."""
        if self.services is None:
            raise Problem(ProblemKind.NOT_READY, "The service is starting; ask again in a moment.")
        return self.services


def house_of(state: State) -> House:
    """The house of an application (`app.state`)."""
    house: House = state.house
    return house
