"""A TFLite network, run by whichever runtime is installed."""

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
    from collections.abc import Iterable, Iterator, Sequence

RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
"""The maintained runtime, and its predecessor for what only that serves (32-bit Pi, Python up to 3.11)."""

Floats = npt.NDArray[np.float32]


class Network:
    """One network, for a fixed number of rows: float32 in, float32 out, on one thread."""

    def __init__(
        self, path: Path, model_bytes: bytes, *, rows: int, inputs: Sequence[Sequence[int]], outputs: int
    ) -> None:
        """Load the network ``model_bytes`` of the bundle ``path``.

        ``inputs`` are the shapes of a row of each input, all different, in the order in which they will be given;
        ``outputs`` is the length of a row of the result. Raises ``ConfigError`` when no runtime is installed or the
        network is of other shapes.
        """
        interpreter_class = _interpreter_class()
        with _starting(str(path)):
            self._interpreter = interpreter_class(model_content=model_bytes, num_threads=1)
            found = {tuple(map(int, each["shape"])): each["index"] for each in self._interpreter.get_input_details()}
            wanted = [(1, *shape) for shape in inputs]
            if sorted(found) != sorted(wanted):
                raise ConfigError(
                    str(path), [f"the network's input is {_in_words(found)}, its features are {_in_words(wanted)}"]
                )
            self._inputs = [(found[shape], (rows, *shape[1:])) for shape in wanted]
            for index, shape in self._inputs:
                self._interpreter.resize_tensor_input(index, shape)
            self._interpreter.allocate_tensors()
            (result,) = self._interpreter.get_output_details()
            self._output = result["index"]
            answer = self(*(np.zeros(shape, dtype=np.float32) for _, shape in self._inputs))
        if answer.shape != (rows, outputs) or answer.dtype != np.float32:
            said = f"{answer.dtype}{list(answer.shape)}"
            raise ConfigError(str(path), [f"the network's output is {said}, not float32[{rows}, {outputs}]"])

    def __call__(self, *inputs: Floats) -> Floats:
        """Return float32[rows, outputs] for the inputs, float32[rows, ...] each."""
        for (index, shape), given in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, given.reshape(shape))
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))


def _in_words(shapes: Iterable[tuple[int, ...]]) -> str:
    return " and ".join(str(list(shape)) for shape in sorted(shapes))


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
