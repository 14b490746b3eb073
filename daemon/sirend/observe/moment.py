"""What a viewer sees of a moment, as JSON values: levels, spectrogram columns, scores, a clap.

Computed on the viewer's side and only while someone looks.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from sirend.audio.level import level_dbfs
from sirend.audio.stream import SAMPLE_RATE_HZ, SILENCE_DBFS, to_samples
from sirend.call import eta
from sirend.call.event import to_json
from sirend.detect.features import mel_frames
from sirend.observe.snapshot import KEPT_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sirend.audio.stream import Pcm, Window
    from sirend.call.event import Event
    from sirend.detect.features import FeatureSpec
    from sirend.observe.snapshot import Moment, NewMoments, Setup

FULL_SCALE = 0.999
"""A sample at this amplitude or over is clipped: 16-bit converters stop at .99997."""
FLOOR_PERCENTILE = 10.0
"""The noise floor is what nine windows in ten of the last minute exceed."""
FRAMES_A_COLUMN = 5
"""50 ms: half the width of the shortest tone of a siren."""
BOTTOM_DB, TOP_DB = -70.0, 40.0
"""Range of a column's bytes, 0..255; a sine at full scale reaches 40 dB."""
CLAP_OVER_FLOOR_DB = 20.0
CLAP_LEAST_DBFS = -40.0
CLAP_CREST_DB = 15.0
"""Peak over RMS in a hop: a siren's is 3 to 8 dB, a clap of 10 ms in 250 ms reaches 20."""
CLAP_AHEAD_DB = 6.0
"""By which the nearest microphone leads: another at twice the distance hears 6 dB less."""


def about(setup: Setup) -> dict[str, Any]:
    """Return what does not change, as JSON values."""
    return {
        "site": setup.site,
        "device": setup.device,
        "model": setup.model,
        "version": setup.version,
        "advisory": setup.advisory,
        "hop_s": setup.hop_s,
        "full_scale_spl_db": setup.spl_db(0.0),
        "enter": setup.rules.enter,
        "exit": setup.rules.exit,
        "bands": setup.spec.bands,
        "low_hz": setup.spec.low_hz,
        "high_hz": setup.spec.high_hz,
        "kept_s": KEPT_S,
        "approaches": [
            {
                "name": each.name,
                "channel": each.channel,
                "bearing_deg": each.bearing_deg,
                **({"width_deg": each.width_deg} if setup.has_array else {}),
            }
            for each in setup.approaches
        ],
        "has_array": setup.has_array,
    }


def event_values(event: Event) -> dict[str, Any]:
    """Return an event as JSON values, without its signature, which is for controllers."""
    payload: dict[str, Any] = json.loads(to_json(event))
    payload.pop("sig", None)
    return payload


def mel_columns(spec: FeatureSpec, pcm: Pcm) -> str:
    """Return the mel spectrum of float32[n], one column of ``bands`` bytes for each 50 ms, low bands first, in base64.

    A byte is a level from ``BOTTOM_DB`` to ``TOP_DB``. What is less than a column at the end is left out.
    """
    frames = mel_frames(spec, pcm)
    whole = len(frames) // FRAMES_A_COLUMN * FRAMES_A_COLUMN
    power = np.square(frames[:whole]).reshape(-1, FRAMES_A_COLUMN, spec.bands).mean(axis=1)
    level_db = 10.0 * np.log10(power + 1e-12)
    scaled = np.clip((level_db - BOTTOM_DB) / (TOP_DB - BOTTOM_DB), 0.0, 1.0)
    return base64.b64encode(np.round(255.0 * scaled).astype(np.uint8).tobytes()).decode()


def peak_dbfs(pcm: Pcm) -> float:
    """Return the largest amplitude of ``pcm`` in dBFS, never below ``SILENCE_DBFS``."""
    peak = float(np.abs(pcm).max(initial=0.0))
    return max(SILENCE_DBFS, 20.0 * float(np.log10(peak))) if peak > 0.0 else SILENCE_DBFS


def clap(levels: Mapping[str, tuple[float, float, float]]) -> dict[str, str | None] | None:
    """Return the approach that was clapped at, None for it when several heard it alike; None when nobody clapped.

    ``levels`` are peak, RMS and noise floor of each approach in a hop, dBFS.
    """
    sudden = [
        name
        for name, (peak, rms, floor) in levels.items()
        if peak >= max(floor + CLAP_OVER_FLOOR_DB, CLAP_LEAST_DBFS) and peak - rms >= CLAP_CREST_DB
    ]
    if not sudden:
        return None
    ranked = sorted(levels, key=lambda name: levels[name][0], reverse=True)
    is_clear = len(ranked) == 1 or levels[ranked[0]][0] - levels[ranked[1]][0] >= CLAP_AHEAD_DB
    return {"approach": ranked[0] if is_clear and ranked[0] in sudden else None}


class MomentEncoder:
    """Follows a view for as long as someone looks."""

    def __init__(self, setup: Setup) -> None:
        """Start with nothing seen."""
        self._setup = setup
        self._hop = to_samples(setup.hop_s)
        size = max(1, round(KEPT_S / setup.hop_s))
        self._levels: dict[str, deque[float]] = {each.name: deque(maxlen=size) for each in setup.approaches}

    def take(self, news: NewMoments) -> list[dict[str, Any]]:
        """Return each moment of ``news``; those whose samples are still at hand with levels and columns."""
        return [self._moment(moment, news.window) for moment in news.moments]

    def _moment(self, moment: Moment, window: Window | None) -> dict[str, Any]:
        shown = []
        levels = {}
        for row, heard in enumerate(moment.heard):
            past = self._levels[heard.approach]
            past.append(heard.level_dbfs)
            floor = float(np.percentile(past, FLOOR_PERCENTILE))
            values: dict[str, Any] = {
                "approach": heard.approach,
                "score": round(heard.score, 3),
                "evidence": round(heard.evidence, 3),
                "level_dbfs": round(heard.level_dbfs, 1),
                "floor_dbfs": round(floor, 1),
                "motion": heard.motion,
                "tone": heard.tone,
                "call": heard.call,
            }
            if heard.arrival is not None:  # under the names of an event
                told = heard.arrival.eta_s, heard.arrival.low_s, heard.arrival.high_s
                values |= {key: round(seconds, 1) for key, seconds in zip(eta.KEYS, told, strict=True)}
            pcm = self._samples(moment, window, row)
            if pcm is not None:
                fresh = pcm[-self._hop :]
                levels[heard.approach] = (peak_dbfs(fresh), level_dbfs(fresh), floor)
                values["peak_dbfs"] = round(levels[heard.approach][0], 1)
                values["hop_dbfs"] = round(levels[heard.approach][1], 1)
                values["clipped"] = bool(np.abs(fresh).max() >= FULL_SCALE)
                values["columns"] = mel_columns(self._setup.spec, pcm)
            shown.append(values)
        made: dict[str, Any] = {"seq": moment.seq, "end_s": moment.end / SAMPLE_RATE_HZ, "heard": shown}
        bearing = next((heard.bearing for heard in moment.heard if heard.bearing is not None), None)
        if bearing is not None:
            made["bearing"] = {"deg": round(bearing.deg, 1) % 360.0, "sd_deg": round(bearing.sd_deg, 1)}
        if (clapped := clap(levels)) is not None:
            made["clap"] = clapped
        return made

    def _samples(self, moment: Moment, window: Window | None, row: int) -> Pcm | None:
        """Return the moment's hop, with what its first frame needs of the samples before, float32[n]; or None."""
        if window is None:
            return None
        spec = self._setup.spec
        end = window.pcm.shape[1] - (window.end - moment.end)
        start = end - self._hop - (spec.frame_samples - spec.step_samples)
        return window.pcm[row, start:end] if 0 <= start < end <= window.pcm.shape[1] else None
