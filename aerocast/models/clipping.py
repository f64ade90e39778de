"""Keeps forecasts within what a column can be, in the graph itself: judged and served alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aerocast.features.grid import Floats

if TYPE_CHECKING:
    import onnx

_BEFORE = "forecast_before_clipping"


def clip(levels: Floats, bounds: tuple[float, float]) -> Floats:
    """Levels (n, H) within bounds, as the graph of `clip_graph` gives them."""
    low, high = (np.float32(each) for each in bounds)
    within: Floats = np.clip(levels, low, high)
    return within


def clip_graph(model: onnx.ModelProto, bounds: tuple[float, float]) -> onnx.ModelProto:
    """The model with a bound in place of every forecast beyond it; a missing forecast stays missing."""
    from onnx import helper, numpy_helper

    graph, name = model.graph, model.graph.output[0].name
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [_BEFORE if each == name else each for each in names]
    # Clip itself would turn what is missing into a bound.
    value = _BEFORE
    for operator, side, bound, result in zip(
        ("Less", "Greater"), ("lowest", "highest"), bounds, (f"{_BEFORE}/lowest", name), strict=True
    ):
        graph.initializer.append(numpy_helper.from_array(np.array(bound, dtype=np.float32), side))
        graph.node.append(helper.make_node(operator, [value, side], [f"is_beyond_{side}"]))
        graph.node.append(helper.make_node("Where", [f"is_beyond_{side}", side, value], [result]))
        value = result
    return model
