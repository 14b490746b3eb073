"""TFLite networks made by hand, small enough to know what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ai_edge_litert.schema_py_generated as tflite
import flatbuffers
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def mean(frames: int, bands: int, outputs: int = 1) -> bytes:
    """Return a network whose every output is the mean of its input, float32[1, frames, bands]."""
    weights = np.full((outputs, frames), 1.0 / frames)
    return _file(
        [frames, bands],
        (tflite.BuiltinOperator.MEAN, np.array([2], dtype="<i4"), [1, frames]),
        (tflite.BuiltinOperator.FULLY_CONNECTED, weights.astype("<f4"), [1, outputs]),
    )


def banded(frames: int, weights: npt.NDArray[np.float64]) -> bytes:
    """Return one whose outputs are ``weights`` float[outputs, bands] of the mean over its frames."""
    outputs, bands = weights.shape
    return _file(
        [frames, bands],
        (tflite.BuiltinOperator.MEAN, np.array([1], dtype="<i4"), [1, bands]),
        (tflite.BuiltinOperator.FULLY_CONNECTED, weights.astype("<f4"), [1, outputs]),
    )


def weighted(weights: npt.NDArray[np.float64]) -> bytes:
    """Return one whose output is the sum of its input float32[1, places, inputs] times ``weights``."""
    places, inputs = weights.shape
    flat = weights.reshape(1, -1).astype("<f4")
    return _file(
        [places, inputs],
        (tflite.BuiltinOperator.RESHAPE, np.array([-1, flat.size], dtype="<i4"), [1, flat.size]),
        (tflite.BuiltinOperator.FULLY_CONNECTED, flat, [1, 1]),
    )


def _file(shape: list[int], *layers: tuple[int, npt.NDArray[Any], list[int]]) -> bytes:
    """Return the flatbuffer of operators that follow on each other: code, constant and shape of the result of each."""
    model, graph = tflite.ModelT(), tflite.SubGraphT()
    model.version = 3
    model.buffers = [tflite.BufferT()]
    model.operatorCodes, graph.operators = [], []
    graph.tensors = [_tensor("input", [1, *shape], tflite.TensorType.FLOAT32, 0)]
    for place, (code, constant, result) in enumerate(layers):
        held, operator, operator_code = tflite.BufferT(), tflite.OperatorT(), tflite.OperatorCodeT()
        held.data = np.frombuffer(constant.tobytes(), dtype=np.uint8)
        model.buffers.append(held)
        operator_code.builtinCode = operator_code.deprecatedBuiltinCode = code
        model.operatorCodes.append(operator_code)
        kind = tflite.TensorType.INT32 if constant.dtype.kind == "i" else tflite.TensorType.FLOAT32
        fresh = len(graph.tensors)
        graph.tensors += [
            _tensor(f"constant {place}", list(constant.shape), kind, place + 1),
            _tensor(f"result {place}", result, tflite.TensorType.FLOAT32, 0),
        ]
        operator.opcodeIndex, operator.inputs, operator.outputs = place, [fresh - 1, fresh], [fresh + 1]
        _describe(operator, code)
        graph.operators.append(operator)
    graph.inputs, graph.outputs = [0], [len(graph.tensors) - 1]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _describe(operator: Any, code: int) -> None:  # noqa: ANN401  the schema has no types
    if code == tflite.BuiltinOperator.MEAN:
        operator.builtinOptionsType, operator.builtinOptions = (
            tflite.BuiltinOptions.ReducerOptions,
            tflite.ReducerOptionsT(),
        )
    elif code == tflite.BuiltinOperator.FULLY_CONNECTED:
        operator.inputs = [*operator.inputs, -1]
        operator.builtinOptionsType = tflite.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = tflite.FullyConnectedOptionsT()
    else:
        operator.builtinOptionsType, operator.builtinOptions = (
            tflite.BuiltinOptions.ReshapeOptions,
            tflite.ReshapeOptionsT(),
        )


def _tensor(name: str, shape: list[int], kind: int, buffer: int) -> Any:  # noqa: ANN401
    made = tflite.TensorT()
    made.name, made.shape, made.type, made.buffer = name, shape, kind, buffer
    return made
