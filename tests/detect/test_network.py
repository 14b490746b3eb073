from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.detect.networks import mean

from sirend.detect.network import RUNTIMES, Network
from sirend.errors import ConfigError

FRAMES, BANDS = 96, 64


def network(model_bytes: bytes, rows: int = 1) -> Network:
    return Network(Path("models/siren-9.9.9"), model_bytes, rows=rows, inputs=[(FRAMES, BANDS)], outputs=1)


def constant(*values: float) -> np.ndarray:
    """Return float32[rows, FRAMES, BANDS], a row of each of ``values``."""
    return np.array(values, np.float32)[:, np.newaxis, np.newaxis] * np.ones((FRAMES, BANDS), np.float32)


def test_rows_are_judged_at_once_each_for_itself() -> None:
    said = network(mean(FRAMES, BANDS), rows=4)(constant(-3.0, 0.0, 1.0, 40.0))
    assert said.dtype == np.float32
    np.testing.assert_allclose(said[:, 0], [-3.0, 0.0, 1.0, 40.0], atol=1e-4)


@pytest.mark.parametrize(
    ("model_bytes", "problem"),
    [
        (b"x" * 200, "the network cannot be used: The model is not a valid Flatbuffer buffer"),
        (mean(124, BANDS), "the network's input is [1, 124, 64], its features are [1, 96, 64]"),
        (mean(FRAMES, BANDS, 3), "the network's output is float32[1, 3], not float32[1, 1]"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(model_bytes: bytes, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        network(model_bytes)
    assert str(caught.value) == f"models/siren-9.9.9: {problem}"


def test_the_older_runtime_serves_where_the_newer_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import ai_edge_litert.interpreter as newer  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", SimpleNamespace(Interpreter=newer.Interpreter))
    assert network(mean(FRAMES, BANDS))(constant(0.5)).tolist() == [[pytest.approx(0.5, abs=1e-5)]]


def test_without_any_runtime_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RUNTIMES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match="no TFLite runtime: pip install ai-edge-litert"):
        network(mean(FRAMES, BANDS))


def test_the_runtime_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    network(mean(FRAMES, BANDS))(constant(0.0))
    assert capfd.readouterr() == ("", "")
