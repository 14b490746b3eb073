"""How long a called siren still needs, as an event says it: read with suspicion, and in the words of log and terminal.

Nothing here needs numpy: a controller's computer reads it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = ("eta_s", "eta_low_s", "eta_high_s")
_ABSURD_S = 3600.0
"""No siren is heard for so long before it is there; NaN is not below it either."""


@dataclass(frozen=True, slots=True)
class Eta:
    """Time until the siren is nearest, as from when it was said."""

    eta_s: float
    """Most likely, s."""
    low_s: float
    """Hardly sooner, s."""
    high_s: float
    """Hardly later, s."""

    def __str__(self) -> str:
        """Return the words that the page has too: ``nearest in 6 s (4 to 9)``."""
        return f"nearest in {_whole(self.eta_s)} s ({_whole(self.low_s)} to {_whole(self.high_s)})"


def eta_of(event: Mapping[str, Any]) -> Eta | None:
    """Return the time that a decoded event or moment tells; None where it tells none of a call, or it is no time."""
    times = [time_s for key in KEYS if (time_s := _time_s(event.get(key))) is not None]
    is_call = "approaching" in (event.get("state"), event.get("call"))
    return Eta(*times) if is_call and len(times) == len(KEYS) else None


def _time_s(value: object) -> float | None:
    """Return a JSON value that is a time; true and false are numbers to Python, and none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < _ABSURD_S else None


def _whole(seconds: float) -> int:
    """Return whole seconds, a half upwards, as the page rounds."""
    return int(seconds + 0.5)
