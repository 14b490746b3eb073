from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from tests.detect.networks import mean

from sirend.audio.stream import Block, Samples, Window
from sirend.audio.windows import Windows
from sirend.detect import network as networks
from sirend.detect.bundle import Backbone, Bundle, Calibration, OperatingPoint
from sirend.detect.classifier import Classifier
from sirend.detect.features import Extractor, FeatureSpec, Spectrogram
from sirend.detect.windowed import PatchListener
from sirend.errors import ConfigError

SPEC = FeatureSpec()


def network(frames: int = SPEC.frames, bands: int = SPEC.bands, outputs: int = 1) -> bytes:
    return mean(frames, bands, outputs)


def bundle(model_bytes: bytes, calibration: Calibration | None = None) -> Bundle:
    return Bundle(
        path=Path("models/siren-9.9.9"),
        name="siren-9.9.9@0123456789ab",
        feature_spec=SPEC,
        model_bytes=model_bytes,
        operating=OperatingPoint(enter=0.6, exit=0.4, confirm_s=0.75, release_s=3.0),
        calibration=calibration or Calibration(scale=1.0, offset=0.0),
        hop_s=0.25,
        digest=hashlib.sha256(model_bytes).hexdigest(),
    )


def constant(*values: float) -> Spectrogram:
    """Return windows whose log-mel is everywhere one of ``values``."""
    log = np.array(values, dtype=np.float32)[:, np.newaxis, np.newaxis] * np.ones((SPEC.frames, SPEC.bands), np.float32)
    return cast("Spectrogram", SimpleNamespace(log=log))


def test_the_probability_is_the_calibrated_sigmoid_of_the_logit() -> None:
    scored = Classifier(bundle(network(), Calibration(scale=2.0, offset=-1.0))).score(constant(1.5))
    assert scored.dtype == np.float32
    assert scored.tolist() == pytest.approx([1.0 / (1.0 + np.exp(-2.0))], abs=1e-6)


def test_all_approaches_are_scored_at_once_each_for_itself() -> None:
    scored = Classifier(bundle(network()), approaches=4).score(constant(-3.0, 0.0, 1.0, 40.0))
    assert scored.tolist() == pytest.approx([0.047426, 0.5, 0.731059, 1.0], abs=1e-5)


def test_extreme_logits_stay_probabilities() -> None:
    scored = Classifier(bundle(network()), approaches=2).score(constant(-1e6, 1e6))
    assert scored.tolist() == pytest.approx([0.0, 1.0], abs=1e-30)


def backbone(places: tuple[int, ...] = (0, 50, 100), approaches: int = 1) -> PatchListener:
    described = Backbone(network(frames=96), patch_frames=96, places=places, outputs=1)
    return PatchListener(bundle(network()), described, approaches)


def windows(hop: int, channels: int = 1, seconds: int = 5, seed: int = 0) -> list[Window]:
    pcm = np.random.default_rng(seed).standard_normal((seconds * 16_000, channels)).astype(np.float32)
    loud = np.repeat(np.linspace(0.01, 1.0, seconds), 16_000)[:, np.newaxis].astype(np.float32)
    sliding = Windows(window=SPEC.window_samples, hop=hop, channels=range(channels))
    return list(sliding.push(Block(Samples(0), 0.1 * pcm * loud)))


@pytest.mark.parametrize("hop", [2_000, 4_000, 4_001, 8_000, 12_000, 32_000])
def test_a_patch_says_the_same_whichever_window_brought_it(hop: int) -> None:
    sliding, extractor = backbone(approaches=2), Extractor(SPEC)
    heard = windows(hop, channels=2)
    assert len(heard) > 1
    for window in heard:
        alone = backbone(approaches=2).embeddings(Spectrogram.of(SPEC, window.pcm))
        np.testing.assert_allclose(sliding.embeddings(extractor.spectrogram(window)), alone, atol=1e-5)


def test_each_patch_is_listened_to_once() -> None:
    sliding, extractor = backbone(), Extractor(SPEC)
    heard = windows(4_000)
    for window in heard:
        sliding.embeddings(extractor.spectrogram(window))
    assert sliding.judged == len(heard) + 4, "three in the first window, two in the second, then one"


def test_streams_that_take_turns_at_a_backbone_share_nothing_but_its_weights() -> None:
    shared = backbone()
    streams = [(windows(4_000, seed=seed), Extractor(SPEC)) for seed in (1, 2)]
    for turn in range(len(streams[0][0])):
        for heard, extractor in streams:
            alone = backbone().embeddings(Spectrogram.of(SPEC, heard[turn].pcm))
            np.testing.assert_allclose(shared.embeddings(extractor.spectrogram(heard[turn])), alone, atol=1e-5)


@pytest.mark.parametrize(
    ("model_bytes", "problem"),
    [
        (b"x" * 200, "the network cannot be used: The model is not a valid Flatbuffer buffer"),
        (network(frames=124), "the network's input is [1, 124, 64], its features are [1, 198, 64]"),
        (network(outputs=3), "the network's output is float32[1, 3], not float32[1, 1]"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(model_bytes: bytes, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Classifier(bundle(model_bytes))
    assert str(caught.value) == f"models/siren-9.9.9: {problem}"


def test_the_older_runtime_serves_where_the_newer_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import ai_edge_litert.interpreter as newer  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", SimpleNamespace(Interpreter=newer.Interpreter))
    assert Classifier(bundle(network())).score(constant(0.0)).tolist() == [0.5]


def test_without_any_runtime_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in networks.RUNTIMES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match="no TFLite runtime: pip install ai-edge-litert"):
        Classifier(bundle(network()))


def test_the_runtime_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    Classifier(bundle(network())).score(constant(0.0))
    assert capfd.readouterr() == ("", "")
