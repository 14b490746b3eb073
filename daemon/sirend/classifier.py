"""The network: features in, calibrated probability of a siren out, through whichever TFLite runtime is installed."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sirend.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sirend.bundle import Bundle, Calibration
    from sirend.features import Features

RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
"""The maintained runtime, and its predecessor for what only that serves (32-bit Pi, Python up to 3.11)."""


class Classifier:
    """Scores the windows of all approaches, on one thread; a small network first where the bundle has a screen.

    The screen hears every window. Below ``Screen.at_least`` its own score stands, and the large network is spared the
    work: most of a street is nothing like a siren. What it lets through is judged by the large network alone.
    """

    def __init__(self, bundle: Bundle, approaches: int = 1) -> None:
        """Load the networks of ``bundle`` for windows of ``approaches``.

        Raises ``ConfigError`` when no runtime is installed or a network is not of the shape that the manifest says.
        """
        screen = bundle.screen
        self._screen = None if screen is None else _Network(bundle, screen.model_bytes, screen.calibration, approaches)
        self._at_least = 0.0 if screen is None else screen.at_least
        self._network = _Network(bundle, bundle.model_bytes, bundle.calibration, 1 if screen else approaches)
        self.judged = 0
        """Windows that the large network heard so far."""

    def score(self, features: Features) -> npt.NDArray[np.float32]:
        """Return float32[approaches], probability of a siren 0..1, for float32[approaches, frames, bands]."""
        if self._screen is None:
            self.judged += len(features)
            return self._network.probability(features)
        probability = self._screen.probability(features)
        for approach in np.flatnonzero(probability >= self._at_least):
            probability[approach] = self._network.probability(features[approach])[0]
            self.judged += 1
        return probability


class _Network:
    """One TFLite network of a fixed number of windows, and what makes probabilities of its logits."""

    def __init__(self, bundle: Bundle, model_bytes: bytes, calibration: Calibration, windows: int) -> None:
        interpreter_class = _interpreter_class()
        self._calibration = calibration
        spec = bundle.feature_spec
        with _starting(str(bundle.path)):
            self._interpreter = interpreter_class(model_content=model_bytes, num_threads=1)
            (source,), (result,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            self._input, self._output = source["index"], result["index"]
            shape = [int(size) for size in source["shape"]]
            expected = [1, spec.frames, spec.bands]
            if shape not in (expected, [*expected, 1]):
                raise ConfigError(str(bundle.path), [f"the network's input is {shape}, its features are {expected}"])
            self._shape = (windows, *shape[1:])
            self._interpreter.resize_tensor_input(self._input, self._shape)
            self._interpreter.allocate_tensors()
            logits = self._logits(np.zeros(self._shape, dtype=np.float32))
        if logits.shape != (windows, 1) or logits.dtype != np.float32:
            found = f"{logits.dtype}{list(logits.shape)}"
            raise ConfigError(str(bundle.path), [f"the network's output is {found}, not float32[{windows}, 1]"])

    def probability(self, features: Features) -> npt.NDArray[np.float32]:
        """Return float32[windows], 0..1, for float32 of ``windows`` times frames times bands."""
        logits = self._logits(features.reshape(self._shape))[:, 0].astype(np.float64)
        exponent = self._calibration.scale * logits + self._calibration.offset
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(exponent, -80.0, 80.0))), dtype=np.float32)

    def _logits(self, features: Features) -> npt.NDArray[np.float32]:
        self._interpreter.set_tensor(self._input, features)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))


def _interpreter_class() -> Any:  # noqa: ANN401  neither runtime has types
    """Return the class ``Interpreter`` of the first runtime that can be imported."""
    reasons = []
    for name in RUNTIMES:
        try:
            return importlib.import_module(name).Interpreter
        except (ImportError, AttributeError) as error:  # AttributeError: tflite-runtime 2.14 beside numpy 2
            reasons.append(str(error))
    raise ConfigError("model", [f"no TFLite runtime: pip install ai-edge-litert ({'; '.join(reasons)})"])


@contextmanager
def _starting(bundle: str) -> Iterator[None]:
    """Turn what the runtime raises over a network into ``ConfigError``.

    Drops what it prints about itself on the process's stderr, for which it has no switch.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    except (ValueError, RuntimeError) as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(bundle, [f"the network cannot be used: {why}"]) from error
    finally:
        os.dup2(kept, 2)
        os.close(kept)
