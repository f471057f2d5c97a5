"""LinkedIn's error answers."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ApiError(Exception):
    """An answer with an error status. `service_code` is the number beside the word, where there is one."""

    status: int
    message: str
    code: str | None = None
    service_code: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """As LinkedIn writes it."""
        told: dict[str, Any] = {"status": self.status, "message": self.message}
        if self.code is not None:
            told["code"] = self.code
        if self.service_code is not None:
            told["serviceErrorCode"] = self.service_code
        return told


def field_errors(faults: dict[int, list[tuple[str, str]]]) -> ApiError:
    """422 with each event's index before its first fault, and its further faults on lines of their own."""
    lines = []
    for index, found in sorted(faults.items()):
        (path, reason), *rest = found
        lines.append(f"Index: {index}, ERROR :: {path} :: {reason}")
        lines += [f"ERROR :: {path} :: {reason}" for path, reason in rest]
    return ApiError(422, "\n".join(lines) + "\n")
