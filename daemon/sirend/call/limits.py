"""What the limits of an approach remember, apart from any stream's count of samples: to outlast a restart. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sirend.audio.stream import SAMPLE_RATE_HZ, Samples, to_samples
from sirend.call.machine import HOUR_S, State
from sirend.call.state import CallState

if TYPE_CHECKING:
    from sirend.call.rules import Rules

MOST_CALLS = 720
"""Most that ``max_calls_per_hour`` may be."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What bounds the calls of one approach, as of a moment."""

    ages_s: tuple[float, ...] = ()
    """How long ago the calls of the last hour started, s, oldest first."""
    spent_s: float = 0.0
    """For how long the present siren has been called already, s."""
    armed: bool = True
    """Whether a siren may call; False after the maximum presence, until a true gap."""
    is_leaving: bool = False
    """Whether the siren that was called is still heard driving away."""

    @classmethod
    def of(cls, state: State) -> Self:
        """Return what ``state`` remembers as of its latest window."""
        now = Samples(0) if state.last is None else state.last.end
        standing = now - state.since if state.call is CallState.APPROACHING else 0
        return cls(
            ages_s=tuple((now - start) / SAMPLE_RATE_HZ for start in state.calls),
            spent_s=(state.spent + standing) / SAMPLE_RATE_HZ,
            armed=state.armed,
            is_leaving=state.is_leaving,
        )

    @classmethod
    def read(cls, decoded: Any, passed_s: float) -> Self:  # noqa: ANN401  decoded JSON
        """Return the limits that ``as_json`` gave ``passed_s`` seconds ago; raise ``ValueError`` where it did not."""
        if not isinstance(decoded, dict) or not isinstance(decoded.get("ages_s"), list):
            raise ValueError("the limits of an approach are missing")  # noqa: TRY004  whatever is wrong with it
        ages = [_seconds(age) + passed_s for age in decoded["ages_s"][-MOST_CALLS:]]
        armed, is_leaving = decoded.get("armed"), decoded.get("is_leaving")
        if not isinstance(armed, bool) or not isinstance(is_leaving, bool):
            raise ValueError("armed and is_leaving must be true or false")  # noqa: TRY004
        spent_s = _seconds(decoded.get("spent_s"))
        return cls(tuple(sorted((age for age in ages if age < HOUR_S), reverse=True)), spent_s, armed, is_leaving)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        ages = [round(age, 3) for age in self.ages_s]
        return {
            "ages_s": ages,
            "spent_s": round(self.spent_s, 3),
            "armed": self.armed,
            "is_leaving": self.is_leaving,
        }

    def state(self, rules: Rules) -> State:
        """Return the state that a stream begins with which goes on from here; its count of samples begins at 0."""
        spent = to_samples(self.spent_s)
        return State(
            calls=tuple(Samples(-to_samples(age)) for age in self.ages_s),
            spent=spent,
            armed=self.armed and spent + rules.min_duration <= rules.max_presence,
            is_leaving=self.is_leaving,
            windows=0,
        )


def _seconds(value: object) -> float:
    """Return a finite time, not negative; raise ``ValueError`` where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < math.inf:
        raise ValueError(f"{value!r} is no time in seconds")
    return float(value)
