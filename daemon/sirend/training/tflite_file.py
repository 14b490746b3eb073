"""A TFLite file of one graph, taken apart: its constants are read and changed, and it is put together again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tflite


@dataclass(frozen=True)
class TfliteFile:
    """What is in the file."""

    model: tflite.ModelT

    @classmethod
    def of(cls, flatbuffer: bytes) -> Self:
        """Take the file ``flatbuffer`` apart."""
        return cls(tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(flatbuffer, 0)))

    @property
    def graph(self) -> tflite.SubGraphT:
        """Its operators and tensors."""
        return self.model.subgraphs[0]

    def is_of(self, operator: tflite.OperatorT, kind: int) -> bool:
        """Return whether ``operator`` is of a ``BuiltinOperator``."""
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
