"""Runs an exported graph over feature rows."""

from collections.abc import Callable, Sequence

import numpy as np

from aerocast.common.errors import AeroCastError
from aerocast.features.grid import Floats


def forecast(graph: bytes, x: Floats, names: Sequence[str], inputs: Sequence[str] | None = None) -> Floats:
    """Levels (n, H) of an ONNX graph over feature rows `x` (n, F) called `names`.

    `inputs` are the names that the graph was built on (an incumbent may know fewer); by default all, in order.

    Raises:
        AeroCastError: the graph wants a feature that the rows do not have.
    """
    return runner(graph)(x if inputs is None else select(x, names, inputs))


def select(x: Floats, names: Sequence[str], inputs: Sequence[str]) -> Floats:
    """The features `inputs` of rows `x` (n, F) called `names`. Raises AeroCastError: the rows lack one."""
    if list(inputs) == list(names):
        return x
    column_of = {name: index for index, name in enumerate(names)}
    absent = [name for name in inputs if name not in column_of]
    if absent:
        raise AeroCastError(f"the graph needs features that the rows lack: {', '.join(absent[:5])}")
    return x[:, [column_of[name] for name in inputs]]


def runner(graph: bytes) -> Callable[[Floats], Floats]:
    """Levels (n, H) of an ONNX graph, loaded once, over its own features (n, F)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def levels(x: Floats) -> Floats:
        parts = [session.run(None, {"features": x[at : at + 4096]})[0] for at in range(0, len(x), 4096)]
        return np.concatenate(parts)

    return levels
