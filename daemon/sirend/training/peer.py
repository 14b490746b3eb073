"""YAMNet as most people would use it: the published TFLite file, slid by 0.48 s, its largest siren class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sirend.audio.stream import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sirend.audio.stream import Pcm

FRAME = 15_600
"""Samples of one frame: 0.975 s."""
HOP = 7_680
EMERGENCY = (316, 317, 318, 319, 390)
"""Emergency vehicle, police car, ambulance, fire engine (sirens), siren; civil defence sirens (391) are not asked."""


def ends_s(frames: int) -> np.ndarray:
    """Return when the first so many frames end, s, float64[frames]."""
    return (np.arange(frames) * HOP + FRAME) / SAMPLE_RATE_HZ


class Peer:
    """Scores of the published network, on one thread."""

    def __init__(self, path: Path) -> None:
        """Load the TFLite file."""
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415  only where there is a peer

        self._interpreter = Interpreter(str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def scores(self, pieces: Iterable[Pcm]) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends in seconds and the scores, float64[frames] each, over a stream in pieces of float32[n].

        Never is more than one piece and a frame held; a stream shorter than a frame is padded.
        """
        left, scored = np.zeros(0, dtype=np.float32), list[float]()
        for piece in pieces:
            left = np.concatenate((left, piece))
            starts = range(0, len(left) - FRAME + 1, HOP)
            scored += [self._score(left[start : start + FRAME]) for start in starts]
            left = left[len(starts) * HOP :]
        if not scored:
            scored.append(self._score(np.concatenate((left, np.zeros(FRAME - len(left), dtype=np.float32)))))
        return ends_s(len(scored)), np.array(scored)

    def _score(self, frame: Pcm) -> float:
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(frame))
        self._interpreter.invoke()
        return float(self._interpreter.get_tensor(self._output)[0, list(EMERGENCY)].max())
