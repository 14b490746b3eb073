"""The backbone's weights in int8: a third of the time of a patch, and half of the file.

Nearly all of its work are convolutions over single places. The runtimes multiply whole numbers there when the weights
are int8, bringing what they hear to int8 as it comes, with a scale of its own for each patch or place. What is lost
then is almost all in the weights, so these are rounded with a view to what they are multiplied by: a weight that was
rounded up is made good by those that hear much the same (GPTQ, Frantar et al. 2022). All else stays float32.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from sirend.detect.features import log_mel, mel_frames
from sirend.errors import ConfigError
from sirend.training import corpus, patches
from sirend.training.episodes import Episodes

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


@dataclass(frozen=True)
class _Network:
    """A TFLite file of one graph, taken apart."""

    model: tflite.ModelT

    @classmethod
    def of(cls, flatbuffer: bytes) -> Self:
        return cls(tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(flatbuffer, 0)))

    @property
    def graph(self) -> tflite.SubGraphT:
        return self.model.subgraphs[0]

    def is_of(self, operator: tflite.OperatorT, kind: int) -> bool:
        code = self.model.operatorCodes[operator.opcodeIndex]
        return bool(kind == max(code.builtinCode, code.deprecatedBuiltinCode))

    def constant(self, tensor: int) -> np.ndarray | None:
        """Return the values of a tensor of floats in its shape; None where they come with the input."""
        held = self.graph.tensors[tensor]
        data = self.model.buffers[held.buffer].data
        kinds = {tflite.TensorType.FLOAT32: np.float32, tflite.TensorType.FLOAT16: np.float16}
        if data is None or not len(data) or held.type not in kinds:
            return None
        return np.frombuffer(bytes(data), kinds[held.type]).reshape(held.shape)

    def put(self, tensor: int, values: np.ndarray) -> None:
        """Give a tensor of the same kind new values."""
        buffer = tflite.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors[tensor].buffer = len(self.model.buffers) - 1

    def unpack(self) -> None:
        """Turn constants that lie in float16 into float32, and drop the operators that did so at every start."""
        left = []
        for operator in self.graph.operators:
            is_unpacking = self.is_of(operator, tflite.BuiltinOperator.DEQUANTIZE)
            packed = self.constant(operator.inputs[0]) if is_unpacking else None
            if packed is None:
                left.append(operator)
            else:
                self.put(operator.outputs[0], packed.astype(np.float32))
                self.graph.tensors[operator.inputs[0]].buffer = 0
        self.graph.operators = left

    def convolutions(self) -> list[tflite.OperatorT]:
        """Return the convolutions over single places whose weights are float32."""
        found = []
        for operator in self.graph.operators:
            if self.is_of(operator, tflite.BuiltinOperator.CONV_2D):
                weights = self.constant(operator.inputs[1])
                if weights is not None and weights.dtype == np.float32 and weights.shape[1:3] == (1, 1):
                    found.append(operator)
        return found

    def packed(self) -> bytes:
        """Return the file, without values that nothing refers to."""
        used = {0} | {tensor.buffer for tensor in self.graph.tensors}
        used |= {each.buffer for each in self.model.metadata or []}
        places = {buffer: place for place, buffer in enumerate(sorted(used))}
        self.model.buffers = [self.model.buffers[buffer] for buffer in places]
        for each in (*self.graph.tensors, *(self.model.metadata or [])):
            each.buffer = places[each.buffer]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def rounded(flatbuffer: bytes, heard: Features, tested: Features) -> bytes:
    """Return the network ``flatbuffer``, its convolutions over single places in int8.

    It takes float32[1, frames, bands] and says one row. ``heard`` float32[patches, frames, bands] are what the weights
    are rounded on, ``tested`` others. Raises ``ConfigError`` where what it says of those is not what it said before.
    """
    network = _Network.of(flatbuffer)
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

    They are of episodes that are drawn: the latter of recordings that are kept back from training. Raises
    ``ConfigError`` when the recipe has no episodes.
    """
    if plan.episodes is None:
        raise ConfigError("recipe", ["weights in int8 are rounded on what is heard of episodes, and it has none"])
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
