"""What a bundle makes of a stream: a calibrated probability of a siren at the end of each window.

A backbone listens to patches of about a second, each once, and says of each some numbers and the log-odds of a few
classes of sound. A head judges the patches of the last seconds together. Both are networks without state: what they
said before lies in the stream's ``Memory``, so that replay equals live and any chunking gives the same scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import Samples, to_samples
from sirend.detect import recollection, site_gain
from sirend.detect.features import log_mel
from sirend.detect.network import Network

if TYPE_CHECKING:
    from sirend.detect.bundle import Bundle
    from sirend.detect.features import Spectrogram
    from sirend.detect.memory import Memory

Floats = npt.NDArray[np.float32]

SUSPECTED_S = 1.0
"""A log-odds over the bundle's ``suspect`` makes every patch worth its cost for so long."""
_SUSPECTED = to_samples(SUSPECTED_S)
SURE = 80.0
"""Log-odds beyond this make the same probability in float32."""


class Classifier:
    """Scores the windows of all approaches, on one thread."""

    def __init__(self, bundle: Bundle, approaches: int = 1) -> None:
        """Load the networks of ``bundle`` for windows of ``approaches``.

        Raises ``ConfigError`` when no runtime is installed or a network is not of the shape that the manifest says.
        """
        self._streaming, self._calibration = bundle.streaming, bundle.calibration
        self._patches, self._head = bundle.streaming.patches, bundle.streaming.head
        self._approaches = approaches
        self._step = to_samples(self._patches.step_s)
        self._each = round(self._head.spacing_s / self._patches.step_s)
        self._fresh = self._step // bundle.feature_spec.step_samples
        self._listen = Network(
            bundle.path,
            self._patches.model_bytes,
            rows=1,
            inputs=[(self._patches.patch_frames, bundle.feature_spec.bands)],
            outputs=self._patches.outputs,
        )
        shape = (self._head.places, self._head.inputs + 1)
        self._judge = Network(bundle.path, bundle.model_bytes, rows=approaches, inputs=[shape], outputs=1)
        self.judged = 0
        """Patches listened to so far, those of all approaches at one time as one."""

    def score(self, spectrogram: Spectrogram) -> Floats:
        """Return float32[approaches], probability of a siren 0..1; that of the newest patch at the window's end."""
        log_odds = np.clip(self.log_odds(spectrogram), -SURE, SURE)
        return np.asarray(1.0 / (1.0 + np.exp(-log_odds)), dtype=np.float32)

    def log_odds(self, spectrogram: Spectrogram) -> npt.NDArray[np.float64]:
        """Return float64[approaches], calibrated, of the newest patch at the window's end; -80 while there is none."""
        memory, spec = spectrogram.memory, spectrogram.spec
        oldest = (spectrogram.end - spectrogram.mel.shape[1] * spec.step_samples) // self._step
        for number in range(max(memory.heard // self._step, oldest) + 1, spectrogram.end // self._step + 1):
            self._hear(spectrogram, memory, number)
        return np.full(self._approaches, -SURE) if memory.log_odds is None else memory.log_odds

    def _hear(self, spectrogram: Spectrogram, memory: Memory, number: int) -> None:
        """Take the patch that ends ``number`` steps after the stream began, where the window reaches back to it."""
        end = Samples(number * self._step)
        mel = spectrogram.until(end, self._patches.patch_frames)
        if mel is None:
            return
        memory.heard = end
        gain: npt.NDArray[np.float64] = np.ones(1)
        if self._streaming.site_gain is not None:
            rms = np.sqrt(np.mean(np.square(mel[:, -self._fresh :]), axis=(1, 2), dtype=np.float64))
            memory.gain = site_gain.step(self._streaming.site_gain, memory.gain, rms, self._patches.step_s)
            gain = site_gain.gain(self._streaming.site_gain, memory.gain)
        is_of_head = number % self._each == 0
        wanted = np.full(self._approaches, True) if is_of_head else self._suspected(memory, end)
        if not wanted.any():
            return
        said = np.zeros((self._approaches, self._patches.outputs), np.float32)
        heard = log_mel(spectrogram.spec, mel, gain[:, np.newaxis, np.newaxis])
        for row in np.flatnonzero(wanted):  # all at once is no faster, and few are suspected at one time
            said[row] = self._listen(heard[row])[0]
        self.judged += 1
        # One between those of the head takes the newest place for once: measured, that is worth as much as a history
        # of its own, for which all patches between would have to be heard (recall at -10 dB .56 and .57, without .51).
        patches = [*memory.patches, said[:, : self._head.inputs]][-self._head.places :]
        if is_of_head:
            memory.patches = patches
        head = self._judge(self._history(patches))[:, 0].astype(np.float64)
        log_odds = self._calibration.scale * self._fused(head, said, wanted, memory, end) + self._calibration.offset
        # An approach hears what it would hear alone: patches that others made worth their cost are none of its.
        memory.log_odds = log_odds if memory.log_odds is None else np.where(wanted, log_odds, memory.log_odds)
        memory.recent.append((end, memory.log_odds))
        while memory.recent[0][0] <= end - _SUSPECTED:
            memory.recent.popleft()

    def _history(self, patches: list[Floats]) -> Floats:
        """Return what the head takes of ``patches``, float32[approaches, places, inputs + 1]: the newest last."""
        history = np.zeros((self._approaches, self._head.places, self._head.inputs + 1), np.float32)
        first = self._head.places - len(patches)
        history[:, first:, :-1] = np.concatenate(patches, axis=1).reshape(self._approaches, len(patches), -1)
        history[:, first:, -1] = 1.0
        return history

    def _fused(
        self, head: npt.NDArray[np.float64], said: Floats, wanted: npt.NDArray[np.bool_], memory: Memory, end: Samples
    ) -> npt.NDArray[np.float64]:
        """Return the logit float64[approaches] of what the head and the backbone's own classes have to say."""
        evidence = self._streaming.evidence
        if evidence is None:
            return head
        classes = said[:, evidence.first : evidence.first + evidence.count].max(axis=1).astype(np.float64)
        memory.classes.append((end, np.where(wanted, classes, np.nan)))
        while len(memory.classes) > 1 and memory.classes[0][0] <= end - to_samples(evidence.memory_s):
            memory.classes.popleft()
        remembered = recollection.mean_log_odds(np.stack([each for _, each in memory.classes]))
        return recollection.fuse_classes(head, remembered, evidence.weight)

    def _suspected(self, memory: Memory, end: Samples) -> npt.NDArray[np.bool_]:
        """Return for which approaches a patch between those of the head is worth its cost at ``end``, bool[approaches].

        The scores so far decide alone.
        """
        if self._streaming.suspect is None:
            return np.full(self._approaches, True)
        highest = np.full(self._approaches, -np.inf)
        for at, log_odds in memory.recent:
            if at > end - _SUSPECTED:
                highest = np.maximum(highest, log_odds)
        return np.asarray(highest > self._streaming.suspect)
