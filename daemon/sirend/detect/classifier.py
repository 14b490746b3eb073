"""What a bundle makes of a stream: a calibrated probability of a siren at the end of each window.

A backbone listens to patches of about a second, each once, and says of each some numbers and the log-odds of a few
classes of sound. A head judges the patches of the last seconds together. A third network, far smaller, may decide
which patches are worth that. All are networks without state: what they said before lies in the stream's ``Memory``, so
that replay equals live and any chunking gives the same scores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import Samples, to_samples
from sirend.detect import recollection, site_gain
from sirend.detect.features import log_mel
from sirend.detect.network import Network
from sirend.detect.wake import Waker

if TYPE_CHECKING:
    from sirend.detect.bundle import Bundle
    from sirend.detect.features import Features, Spectrogram
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
        self._waker = Waker(bundle)
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
        site = self._streaming.site_gain
        if site is not None:
            rms = np.sqrt(np.square(mel[:, -self._fresh :]).mean(axis=(1, 2), dtype=np.float64))
            memory.gain = site_gain.step(site, memory.gain, rms, self._patches.step_s)
        is_of_head = number % self._each == 0
        is_due = is_of_head or self._streaming.suspect is None
        if not is_due and not np.any(memory.suspected_until > end):
            return
        heard = self._levelled(spectrogram, mel, memory)
        if is_of_head:
            begins = self._waker.begins(heard, memory, end)
            if begins.any():
                self._recall(spectrogram, memory, end, begins)
        is_awake = self._waker.is_awake(self._approaches, memory, end)
        wanted = (is_due & is_awake) | (memory.suspected_until > end)
        if not wanted.any():
            return
        said = self._listened(heard, wanted)
        # One between those of the head takes the newest place for once: measured, that is worth as much as a history
        # of its own, for which all patches between would have to be heard (recall at -10 dB .56 and .57, without .51).
        history = self._history(memory, said, wanted)
        if is_of_head:
            memory.history = history
        head = self._judge(history)[:, 0].astype(np.float64)
        self._remember(memory, end, said, wanted)
        log_odds = self._calibration.scale * self._fused(head, memory, end) + self._calibration.offset
        # An approach hears what it would hear alone: patches that others made worth their cost are none of its.
        memory.log_odds = log_odds if memory.log_odds is None else np.where(wanted, log_odds, memory.log_odds)
        if self._streaming.suspect is not None:
            is_suspected = memory.log_odds > self._streaming.suspect
            memory.suspected_until = np.where(is_suspected, end + _SUSPECTED, memory.suspected_until)

    def _levelled(self, spectrogram: Spectrogram, mel: Features, memory: Memory) -> Features:
        """Return what networks hear of ``mel``, float32[approaches, frames, bands], at this site."""
        site = self._streaming.site_gain
        gain = 1.0 if site is None else site_gain.gain(site, memory.gain)[:, np.newaxis, np.newaxis]
        return log_mel(spectrogram.spec, mel, gain)

    def _listened(self, heard: Features, wanted: npt.NDArray[np.bool_]) -> Floats:
        """Return what the backbone says of the patches ``wanted``, float32[approaches, outputs]; 0 of the others."""
        said = np.zeros((self._approaches, self._patches.outputs), np.float32)
        for row in np.flatnonzero(wanted):  # all at once is no faster, and few are suspected at one time
            said[row] = self._listen(heard[row])[0]
        self.judged += 1
        return said

    def _recall(self, spectrogram: Spectrogram, memory: Memory, end: Samples, begins: npt.NDArray[np.bool_]) -> None:
        """Listen to the patches of the head before ``end`` that the approaches slept through which wake now."""
        for back in range(self._waker.back, 0, -1):
            at = Samples(end - back * self._each * self._step)
            mel = spectrogram.until(at, self._patches.patch_frames)
            if mel is None:
                continue
            said = self._listened(self._levelled(spectrogram, mel, memory), begins)
            history = self._history(memory, said, begins)
            is_new = begins[:, np.newaxis, np.newaxis]
            memory.history = history if memory.history is None else np.where(is_new, history, memory.history)
            self._remember(memory, at, said, begins)

    def _history(self, memory: Memory, said: Floats, wanted: npt.NDArray[np.bool_]) -> Floats:
        """Return what the head takes once the backbone has ``said`` what it did of the newest patches ``wanted``."""
        newest = np.empty((self._approaches, 1, self._head.inputs + 1), np.float32)
        newest[:, 0, :-1] = said[:, : self._head.inputs]
        newest[:, 0, -1] = wanted
        if memory.history is None:
            before = np.zeros((self._approaches, self._head.places - 1, self._head.inputs + 1), np.float32)
        else:
            before = memory.history[:, 1:]
        return np.concatenate((before, newest), axis=1)

    def _remember(self, memory: Memory, at: Samples, said: Floats, wanted: npt.NDArray[np.bool_]) -> None:
        """Keep what the backbone's own classes ``said`` of the patches ``wanted`` that end ``at``."""
        evidence = self._streaming.evidence
        if evidence is not None:
            classes = said[:, evidence.first : evidence.first + evidence.count].max(axis=1).astype(np.float64)
            before = memory.classes.get(at, np.full(self._approaches, np.nan))
            memory.classes[at] = np.where(wanted, classes, before)

    def _fused(self, head: npt.NDArray[np.float64], memory: Memory, end: Samples) -> npt.NDArray[np.float64]:
        """Return the logit float64[approaches] of what the head and the backbone's own classes have to say."""
        evidence = self._streaming.evidence
        if evidence is None:
            return head
        for at in [at for at in memory.classes if end != at <= end - to_samples(evidence.memory_s)]:
            del memory.classes[at]
        remembered = recollection.mean_log_odds(np.array(list(memory.classes.values())))
        return recollection.fuse_classes(head, remembered, evidence.weight)
