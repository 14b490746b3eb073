"""Golden vectors: sound that the project made itself, and what was made of it where the model was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sirend.audio.stream import Block, Samples, to_samples
from sirend.audio.windows import Windows
from sirend.detect.classifier import Classifier
from sirend.detect.features import Extractor, log_mel, mel_frames

if TYPE_CHECKING:
    from sirend.detect.bundle import Bundle

Floats = npt.NDArray[np.float32]


def golden_outputs(bundle: Bundle, pcm: npt.NDArray[np.int16]) -> tuple[Floats, Floats]:
    """Return features and scores of a stream int16[n].

    The log-mel float32[frames, bands] of its first window, at the level that it has, and float32[windows] at the
    bundle's own hop.
    """
    heard = pcm.astype(np.float32) / np.float32(32_768)
    spec = bundle.feature_spec
    windows = Windows(window=spec.window_samples, hop=to_samples(bundle.hop_s), channels=[0])
    extractor, classifier = Extractor(spec), Classifier(bundle)
    scores = [
        classifier.score(extractor.spectrogram(window))[0]
        for window in windows.push(Block(Samples(0), heard[:, np.newaxis]))
    ]
    return log_mel(spec, mel_frames(spec, heard[: spec.window_samples])), np.array(scores, np.float32)
