"""How many rows go together: from the platform's maximum, halved after a refusal, doubled after five clean requests (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.contract.results import Accepted, AlreadyThere, NotProcessed, UploadResult

CLEAN_REQUESTS = 5


@dataclass(slots=True)
class Size:
    """The rows of a request now, at most `most`. `clean`: requests in a row that were taken whole since the last change."""

    most: int
    rows: int
    clean: int = 0

    @classmethod
    def of(cls, most: int, bound: int | None, adaptive: int | None, clean: int) -> "Size":
        """`bound` is the operator's, `adaptive` what was learnt before."""
        most = max(1, min(most, bound or most))
        return cls(most, max(1, min(most, adaptive or most)), clean)

    @property
    def adaptive(self) -> int | None:
        """What is to be remembered; None where it is the maximum."""
        return None if self.rows >= self.most else self.rows

    def learn(self, results: Sequence[UploadResult]) -> bool:
        """Take the results of a request of full making (not of a part of one that was refused); True where something changed.

        A request was refused where some of it was not processed and nothing of it was taken. Half of its own rows go together
        then: one that was cut before an earlier refusal says nothing of the smaller size.
        """
        before = (self.rows, self.clean)
        is_taken = any(isinstance(one, Accepted | AlreadyThere) for one in results)
        if not is_taken and any(isinstance(one, NotProcessed) for one in results):
            self.rows, self.clean = max(1, min(self.rows, len(results) // 2)), 0
        elif self.rows < self.most and is_taken:
            self.clean += 1
            if self.clean >= CLEAN_REQUESTS:
                self.rows, self.clean = min(self.most, self.rows * 2), 0
        return (self.rows, self.clean) != before
