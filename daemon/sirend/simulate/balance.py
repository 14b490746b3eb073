"""How loud siren and street are against each other, and in the recording: from levels, or from the ratio asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sirend.simulate.levels import RATE_HZ, SHORT_S, SILENT, db, in_band, mix_at_snr, rms
from sirend.simulate.street import KMH

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sirend.simulate.scene import Scene

BACKGROUND_DBFS = -36.0  # a busy street through a microphone set so that a passing lorry does not clip
MICROPHONE_DBFS = -26.0  # of 94 dB SPL, where levels are given: a microphone that overloads at 120 dB
REFERENCE_DB = 94.0  # SPL of 1 Pa, at which microphones are calibrated
SIREN_AT_M = 3.0  # where the level of a siren is stated (SAE J1849: 10 feet)
PEAK_DBFS = -1.0


@dataclass(frozen=True, slots=True)
class Balance:
    """How loud siren and street are against each other."""

    gain: float
    """Of the siren, where the street stays as it is."""
    peak_snr_db: float
    """SNR of the second around the closest point over the whole background, dB."""
    street_db: float | None
    """Level of the background, dB; None where only the ratio is known."""
    street_rms: float
    """Of the background, within `SNR_BAND_HZ`."""

    @classmethod
    def of(
        cls, scene: Scene, source: NDArray[np.float32], heard: NDArray[np.float32], street: NDArray[np.float32]
    ) -> Balance:
        """Balance what a microphone hears of the `source` float32[m] 1 m away: `heard` float32[n], in `street`.

        Raises ValueError when siren or street is silent.
        """
        closest, half = round(scene.start_m / (scene.speed_kmh * KMH) * RATE_HZ), round(SHORT_S / 2 * RATE_HZ)
        around = slice(max(closest - half, 0), closest + half)
        street_rms = rms(in_band(street))
        if scene.snr_db is not None:
            _, gain = mix_at_snr(heard, street, scene.snr_db, over=around)
            return cls(gain, scene.snr_db, None, street_rms)
        source_rms = rms(in_band(source))
        if min(source_rms, street_rms) < SILENT:
            raise ValueError("levels need a siren and a background that are not silent")
        gain = 10.0 ** ((scene.siren_db - scene.street_db) / 20.0) * street_rms * SIREN_AT_M / source_rms
        return cls(gain, db(gain * rms(in_band(heard)[around]) / street_rms), scene.street_db, street_rms)

    def scale_db(self, loudness_db: float, peak: float) -> float:
        """Return by how much to amplify a mixture whose street has `loudness_db` in all bands, and that `peak`, dB.

        A street without a level gets `BACKGROUND_DBFS`; nothing clips.
        """
        wanted_db = BACKGROUND_DBFS - loudness_db
        if self.street_db is not None:
            wanted_db = MICROPHONE_DBFS + self.street_db - REFERENCE_DB - db(self.street_rms)
        return min(wanted_db, PEAK_DBFS - db(peak))

    @property
    def pascal(self) -> float:
        """What 1 Pa is where the street stays as it is; 0 where only the ratio is known."""
        return 0.0 if self.street_db is None else self.street_rms * 10.0 ** ((REFERENCE_DB - self.street_db) / 20.0)

    def of_94_db(self, scale_db: float) -> float | None:
        """Return the dBFS of 94 dB SPL in a mixture amplified by `scale_db`; None where only the ratio is known."""
        return None if self.street_db is None else scale_db + db(self.street_rms) - self.street_db + REFERENCE_DB
