"""Writes an ONNX graph by hand: nodes and constants, from `features` to `forecast`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

OPSET = 18
ML_OPSET = 3
IR_VERSION = 10


class GraphBuilder:
    """Collects nodes; `op` returns its output's name, `constant` that of an array."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any] | Sequence[Any] | float) -> str:
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def columns(self, source: str, indices: Sequence[int] | NDArray[Any]) -> str:
        """(n, len(indices)) of a (n, F) tensor."""
        return self.op("Gather", source, self.constant(np.asarray(indices, dtype=np.int64)), axis=1)

    def include(self, model: onnx.ModelProto, name: str, features: str = "features") -> str:
        """The forecast of another model's graph, over the tensor `features` of this one."""
        graph = compose.add_prefix_graph(model.graph, f"{name}/")
        self.op("Identity", features, output=f"{name}/features")
        self.nodes += graph.node
        self.constants += graph.initializer
        return f"{name}/forecast"

    def model(self, features: int, horizons: int) -> onnx.ModelProto:
        """The graph as a checked model; some node's output must be `forecast`."""
        graph = helper.make_graph(
            self.nodes,
            "aerocast",
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", features])],
            [helper.make_tensor_value_info("forecast", TensorProto.FLOAT, ["n", horizons])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="aerocast")
        onnx.checker.check_model(model)
        return model
