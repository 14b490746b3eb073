"""What a site's microphone and street amount to in level, followed over minutes; pure.

A network knows sirens at the level at which streets are recorded. A microphone that is far too quiet or too loud is
brought near it, slowly: normalising each window or patch takes away the level by which a network tells a siren from the
sound around it (recall of two-tone sirens at one false burst an hour .75 against .95, the same network). A level as
streets have it is left alone: bringing each to the same one cost some recorded sirens (see the card).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_STREET_RMS, _STREET_DBFS = 2.0, -22.0
"""RMS of the mel magnitudes of a street at that level."""
_SILENT = 1e-5
"""RMS of mel magnitudes under which nothing sounds: a microphone's own noise is over it, digital silence is not."""
_FAR_BELOW_DB, _FAR_ABOVE_DB = -60.0, 40.0
"""A level counts as no further from the target than this."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SiteGainSpec:
    """To what level a site is brought, and how slowly."""

    target_rms: float
    """RMS of mel magnitudes that needs no gain: 2.0 is a street at about -22 dBFS."""
    prior_s: float
    """A stream begins as if it had heard the target for so long."""
    memory_s: float
    """What was heard so long ago counts for 1/e."""
    low_db: float
    """Smallest gain."""
    high_db: float
    """Largest gain."""
    tolerance_db: float
    """So far from the target a level may lie; what goes beyond is made good."""


@dataclass(frozen=True, slots=True)
class SiteGain:
    """What is known of the level of each approach."""

    mean_db: Floats = field(default_factory=lambda: np.zeros(1))
    """Mean level over the target, dB, float64[approaches or 1]."""
    heard_s: float = 0.0
    """For how long it was followed, at most what ``memory_s`` lets count."""


def step(spec: SiteGainSpec, state: SiteGain, rms: Floats, seconds: float) -> SiteGain:
    """Return the state after ``seconds`` more of sound, whose mel magnitudes have the RMS float64[approaches]."""
    level_db = 20.0 * np.log10(np.maximum(rms, _SILENT) / spec.target_rms)
    heard_s = min(state.heard_s + seconds, max(0.0, spec.memory_s - spec.prior_s))
    weight = seconds / max(spec.prior_s + heard_s, seconds)
    level_db = np.minimum(np.maximum(level_db, _FAR_BELOW_DB), _FAR_ABOVE_DB)  # np.clip takes four times as long
    moved = state.mean_db + weight * (level_db - state.mean_db)
    return SiteGain(np.where(rms > _SILENT, moved, state.mean_db), heard_s)


def gain(spec: SiteGainSpec, state: SiteGain) -> Floats:
    """Return the factor float64[approaches or 1] for mel magnitudes."""
    beyond_db = state.mean_db - np.clip(state.mean_db, -spec.tolerance_db, spec.tolerance_db)
    return np.asarray(10.0 ** (np.clip(-beyond_db, spec.low_db, spec.high_db) / 20.0))


def quietest_dbfs(spec: SiteGainSpec) -> float:
    """Return about which level a street must have so that all it lacks is made good, dBFS."""
    target_dbfs = _STREET_DBFS + 20.0 * math.log10(spec.target_rms / _STREET_RMS)
    return target_dbfs - spec.tolerance_db - spec.high_db
