"""What classes of sound that a network names amounted to over the last seconds; pure.

One patch may sound like anything for once: a gust of wind was called for the odds of a single patch, and no siren was.
The mean of the odds keeps a siren's last note through a pause, and what is older than ``memory_s`` is forgotten.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def mean_log_odds(log_odds: Floats) -> Floats:
    """Return the logarithm of the mean of the odds float64[patches, ...] whose logarithms are given, float64[...].

    Patches that were not listened to are nan and do not count; nan where none was.
    """
    listened = ~np.isnan(log_odds)
    count = listened.sum(axis=0)
    known = np.logaddexp.reduce(log_odds, axis=0, where=listened, initial=-np.inf)
    return np.where(count, known - np.log(np.maximum(count, 1)), np.nan)


def fuse_classes(head: Floats, log_odds: Floats, weight: float) -> Floats:
    """Return the head's logits float64[...], beside which the classes' ``log_odds`` have a ``weight``, 0..1."""
    return np.asarray((1.0 - weight) * head + weight * log_odds)
