"""One thing that was looked at, and how it was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How something was found."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as it should."""
    FAULT = "FAULT"
    """The site cannot do its work like this."""
    SKIPPED = "not tried"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    what: str
    """What was looked at, such as ``broker`` or ``disk``."""
    grade: Grade
    text: str
    """What was found, with units; where it is not ok, what to do."""

    def line(self) -> str:
        """Return it for people."""
        return f"{self.grade:<9}  {self.what:<11}  {self.text}"
