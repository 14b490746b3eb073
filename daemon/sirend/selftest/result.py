"""What became of a self-test, and the message that tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sirend.call.clock import utc_text

SCHEMA = "sirend/selftest/1"


@dataclass(frozen=True, slots=True)
class SelfTestResult:
    """What became of the built-in siren."""

    problem: str | None
    """What went wrong; None when nothing did."""
    confidence: float | None = None
    """Of the call, 0..1."""
    delay_s: float | None = None
    """From the siren's being audible to the call."""

    def payload(self, site: str, model: str) -> dict[str, Any]:
        """Return the message, JSON values."""
        return {
            "schema": SCHEMA,
            "site": site,
            "model": model,
            "at": utc_text(datetime.now(UTC)),
            "passed": self.problem is None,
            "problem": self.problem,
            "confidence": self.confidence,
            "delay_s": self.delay_s,
        }
