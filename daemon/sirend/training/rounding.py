"""The backbone's weights in int8: a third of the time of a patch, and half of the file.

Nearly all of its work are convolutions over single places. The runtimes multiply whole numbers there when the weights
are int8, bringing what they hear to int8 as it comes, with a scale of its own for each patch or place. What is lost
then is almost all in the weights, so these are rounded with a view to what they are multiplied by: a weight that was
rounded up is made good by those that hear much the same (GPTQ, Frantar et al. 2022). All else stays float32.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from sirend.detect.features import log_mel, mel_frames
from sirend.errors import ConfigError
from sirend.training import corpus, patches
from sirend.training.episodes import Episodes
from sirend.training.tflite_file import TfliteFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sirend.detect.features import Features
    from sirend.training.corpus import Clip, Corpus
    from sirend.training.recipe import Recipe

log = logging.getLogger(__name__)

AGREES = 0.998
"""Least correlation of what a network says before and after, over patches that it was not rounded on."""
_HEARD, _TESTED = 120, 15
"""Episodes of twelve seconds that weights are rounded on, and that the result is tested on."""
_LIMIT = 127
_DAMPING = 0.01
"""Share of the mean power of an input that is added to each: what was hardly heard must not be relied on."""
_HYBRID = 5
"""Version of CONV_2D that takes float32 and int8 weights with a scale for each output; runtimes have it since 2020."""


def rounded(flatbuffer: bytes, heard: Features, tested: Features) -> bytes:
    """Return the network ``flatbuffer``, its convolutions over single places in int8.

    It takes float32[1, frames, bands] and says one row. ``heard`` float32[patches, frames, bands] are what the weights
    are rounded on, ``tested`` others. Raises ``ConfigError`` where what it says of those is not what it said before.
    """
    network = TfliteFile.of(flatbuffer)
    network.unpack()
    chosen = network.convolutions()
    plain = network.packed()
    if not chosen:
        return plain
    code = tflite.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = tflite.BuiltinOperator.CONV_2D
    code.version = _HYBRID
    network.model.operatorCodes.append(code)
    moments = _moments(plain, [operator.inputs[0] for operator in chosen], heard)
    for operator, moment in zip(chosen, moments, strict=True):
        weights = network.constant(operator.inputs[1])
        if weights is None:
            raise AssertionError("a convolution was chosen for its constant weights")
        whole, scale = nearest(weights.reshape(len(weights), -1), moment)
        network.put(operator.inputs[1], whole)
        tensor = network.graph.tensors[operator.inputs[1]]
        tensor.type = tflite.TensorType.INT8
        tensor.quantization = tflite.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = scale, np.zeros(len(scale), np.int64)
        tensor.quantization.quantizedDimension = 0
        operator.opcodeIndex = len(network.model.operatorCodes) - 1
    result = network.packed()
    before, after = numbers_said(plain, tested), numbers_said(result, tested)
    agreement = float(np.corrcoef(before.ravel(), after.ravel())[0, 1])
    log.info("weights in int8: %d of %d bytes, correlation %.5f", len(result), len(flatbuffer), agreement)
    if not agreement >= AGREES:
        raise ConfigError("backbone", [f"rounded to int8 it says something else (correlation {agreement:.4f})"])
    return result


def nearest(weights: np.ndarray, moment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return float32[outputs, inputs] as int8 of the same shape and the scale float32[outputs] of each row.

    ``moment`` float64[inputs, inputs] is the mean product of what each two inputs are: what the rounding of one input's
    weight changes is made good by the weights of those that are not rounded yet, the loudest inputs first.
    """
    scale = (np.maximum(np.abs(weights).max(axis=1), 1e-12) / _LIMIT).astype(np.float32)
    order = np.argsort(-np.diag(moment), kind="stable")
    inputs = len(order)
    damped = moment[np.ix_(order, order)] + np.eye(inputs) * max(_DAMPING * float(np.trace(moment)) / inputs, 1e-12)
    spread = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = weights[:, order].astype(np.float64)
    whole = np.zeros(weights.shape, np.int8)
    for place, column in enumerate(order):
        whole[:, column] = np.clip(np.rint(left[:, place] / scale), -_LIMIT, _LIMIT)
        error = (left[:, place] - whole[:, column] * scale) / spread[place, place]
        left[:, place:] -= np.outer(error, spread[place, place:])
    return whole, scale


def numbers_said(flatbuffer: bytes, patches: Features) -> np.ndarray:
    """Return what a network says of float32[patches, frames, bands], float32[patches, outputs]."""
    interpreter = Interpreter(model_content=flatbuffer, num_threads=1)
    interpreter.allocate_tensors()
    takes, gives = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    rows = []
    for patch in patches:
        interpreter.set_tensor(takes, patch[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(gives)[0])
    return np.stack(rows)


def _moments(flatbuffer: bytes, tensors: Sequence[int], patches: Features) -> list[np.ndarray]:
    """Return of each tensor the mean product of each two of its channels, float64[channels, channels]."""
    interpreter = Interpreter(
        model_content=flatbuffer,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    takes = interpreter.get_input_details()[0]["index"]
    sums = [0.0] * len(tensors)
    places = [0] * len(tensors)
    for patch in patches:
        interpreter.set_tensor(takes, patch[np.newaxis])
        interpreter.invoke()
        for number, tensor in enumerate(tensors):
            values = interpreter.get_tensor(tensor)
            flat = values.reshape(-1, values.shape[-1])
            sums[number] = sums[number] + (flat.T @ flat).astype(np.float64)
            places[number] += len(flat)
    return [np.asarray(each / count) for each, count in zip(sums, places, strict=True)]


def sounds(plan: Recipe, recordings: Corpus) -> tuple[Features, Features]:
    """Return patches to round on and others to test on, float32[patches, frames, bands].

    They are of episodes that are drawn: the latter of recordings that are kept back from training.
    """
    rng = np.random.default_rng((plan.seed, *b"rounding"))

    def known(clip: Clip) -> bool:
        return not corpus.kept_back(clip, plan.held_out)

    def unknown(clip: Clip) -> bool:
        return corpus.kept_back(clip, plan.held_out)

    made = []
    for count, keep in ((_HEARD, known), (_TESTED, unknown)):
        drawn = Episodes(recordings, plan.episodes, keep)
        episodes = [log_mel(plan.features, mel_frames(plan.features, drawn.episode(rng).pcm)) for _ in range(count)]
        made.append(np.concatenate([patches.cut(mel, patches.ends(plan.features, len(mel))) for mel in episodes]))
    return made[0], made[1]
