"""What is remembered of a stream from patch to patch, so that a network with 8 s of memory need hold no state."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import Samples
from sirend.detect.site_gain import SiteGain

Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Memory:
    """What was made of one stream so far. A gap begins another."""

    gain: SiteGain = field(default_factory=SiteGain)
    """What is known of the site's level; the only thing that outlives a gap that is no fault."""
    heard: Samples = Samples(0)  # noqa: RUF009  a NewType of int
    """End of the newest patch that was looked at, whether or not a network listened to it."""
    history: npt.NDArray[np.float32] | None = None
    """What the backbone said of the patches that the head takes, float32[approaches, places, inputs + 1], newest last;
    the last of each is 1, or 0 where there was no patch yet."""
    log_odds: Floats | None = None
    """Calibrated log-odds of a siren at ``heard``, float64[approaches]."""
    classes: dict[Samples, Floats] = field(default_factory=dict)
    """Log-odds of the bundle's own classes, float64[approaches], by the ends of the patches that they are remembered
    of; nan where an approach was not listened to."""
    suspected_until: npt.NDArray[np.int64] | Samples = Samples(0)  # noqa: RUF009
    """Before which sample every patch of an approach is worth its cost, int64[approaches]."""
    awake_until: npt.NDArray[np.int64] | Samples = Samples(-1)  # noqa: RUF009
    """Up to which sample the patches of the head are, int64[approaches], where a small network decides that."""
