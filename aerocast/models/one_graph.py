"""Makes one ONNX graph of several: each forecast column comes from one of them, or is their weighted sum.

Only what a column needs is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aerocast.common.errors import AeroCastError

if TYPE_CHECKING:
    import onnx

    from aerocast.models.kinds._onnx import GraphBuilder

# Operators whose output columns each depend on the same column of their inputs alone.
BY_COLUMN = frozenset(
    ("Add", "Sub", "Mul", "Div", "Sum", "Mean", "Max", "Min", "Where", "Less", "Greater", "Identity", "Clip", "Cast")
)
INPUT, OUTPUT = "features", "forecast"
Columns = Callable[[int, Sequence[int]], list[str]]  # the names of a graph's forecast columns at some places


def merge(graphs: Sequence[tuple[bytes, Sequence[str]]], sources: Sequence[int], features: Sequence[str]) -> bytes:
    """The graph over `features` (n, F) whose forecast column at each place comes from `graphs[sources[place]]`.

    `graphs` are ONNX over the features that stand beside each, all with as many forecast columns as `sources` has.

    Raises:
        AeroCastError: a graph cannot be converted to the others' operator sets, or the result is no valid graph.
    """

    def wire(graph: GraphBuilder, columns: Columns) -> None:
        own = {source: [at for at, each in enumerate(sources) if each == source] for source in sorted({*sources})}
        names = {at: name for source in own for at, name in zip(own[source], columns(source, own[source]), strict=True)}
        graph.op("Concat", *(names[at] for at in range(len(sources))), axis=1, output=OUTPUT)

    return _one(graphs, features, len(sources), wire)


def weigh(
    graphs: Sequence[tuple[bytes, Sequence[str]]],
    weights: NDArray[Any],
    constant: NDArray[Any],
    features: Sequence[str],
) -> bytes:
    """The graph over `features` (n, F) whose forecast is the sum of those of `graphs` by `weights` (G, H), and
    `constant` (H,); where it is not a number, that of the first.

    Raises:
        AeroCastError: as `merge` does.
    """
    places = range(weights.shape[1])

    def wire(graph: GraphBuilder, columns: Columns) -> None:
        parts = [graph.op("Concat", *columns(source, places), axis=1) for source in range(len(graphs))]
        shares = [graph.op("Mul", part, graph.constant(own[None])) for part, own in zip(parts, weights, strict=True)]
        total = graph.op("Sum", *shares, graph.constant(constant[None]))
        graph.op("Where", graph.op("IsNaN", total), parts[0], total, output=OUTPUT)

    return _one(graphs, features, len(places), wire)


def _one(
    graphs: Sequence[tuple[bytes, Sequence[str]]],
    features: Sequence[str],
    horizons: int,
    wire: Callable[[GraphBuilder, Columns], None],
) -> bytes:
    """A checked graph of several; `wire` makes its output of their columns."""
    import onnx

    from aerocast.models.kinds._onnx import GraphBuilder

    place_of = {name: place for place, name in enumerate(features)}
    try:
        models = _alike([onnx.load_model_from_string(graph) for graph, _ in graphs])
        builder = GraphBuilder()

        def columns(source: int, places: Sequence[int]) -> list[str]:
            inputs = [place_of[name] for name in graphs[source][1]]
            builder.op("Identity", builder.columns(INPUT, inputs), output=f"m{source}/{INPUT}")
            return _copied(builder, models[source], source, places)

        wire(builder, columns)
        model = builder.model(len(features), horizons)
        _stamp(model, models)
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data
    except AeroCastError:
        raise
    except Exception as error:  # onnx has no error of its own: whatever it raises, these graphs cannot be one
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise AeroCastError(f"the models cannot be one graph: {reason}") from error


def _alike(models: list[onnx.ModelProto]) -> list[onnx.ModelProto]:
    """The models without functions of their own, all by the newest of their sets of operators."""
    from onnx import inliner, version_converter

    models = [inliner.inline_local_functions(each) if each.functions else each for each in models]
    newest = max(_opsets(each)[""] for each in models)
    return [each if _opsets(each)[""] == newest else version_converter.convert_version(each, newest) for each in models]


def _opsets(model: onnx.ModelProto) -> dict[str, int]:
    return {"" if each.domain == "ai.onnx" else each.domain: each.version for each in model.opset_import}


def _stamp(model: onnx.ModelProto, parts: Sequence[onnx.ModelProto]) -> None:
    """Gives the model the operator sets and the format that its parts need."""
    from onnx import helper

    versions = _opsets(model) | {"": _opsets(parts[0])[""]}
    for part in parts:
        for domain, version in _opsets(part).items():
            versions[domain] = max(version, versions.get(domain, 0))
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in versions.items())
    model.ir_version = max(model.ir_version, *(part.ir_version for part in parts))


def _copied(builder: Any, model: onnx.ModelProto, source: int, places: Sequence[int]) -> list[str]:
    """Copies what these columns of a model's forecast need; the name of each column, (n, 1)."""
    from onnx import compose

    prefix = f"m{source}/"
    renamed = compose.add_prefix(model, prefix)
    slicer = _Slicer(renamed, f"{prefix}s")
    names = [slicer.column(f"{prefix}{OUTPUT}", place) for place in places]
    nodes, constants = slicer.needed(names)
    builder.nodes += nodes
    builder.constants += constants
    return names


class _Slicer:
    """Follows single columns of a graph's output back to what they are made of."""

    def __init__(self, model: onnx.ModelProto, prefix: str) -> None:
        from onnx import numpy_helper, shape_inference

        graph = shape_inference.infer_shapes(model).graph
        self.prefix = prefix
        self.producer = {name: node for node in graph.node for name in node.output}
        self.order = {id(node): at for at, node in enumerate(graph.node)}
        self.constant = {each.name: each for each in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constant[node.output[0]] = node.attribute[0].t
        self.array = {name: numpy_helper.to_array(each) for name, each in self.constant.items()}
        values = (*graph.value_info, *graph.output, *graph.input)
        self.width = {each.name: _width(each) for each in values}
        self.nodes: list[onnx.NodeProto] = []  # what columns are made by, in order
        self.slices: dict[tuple[str, int], str] = {}

    def column(self, name: str, at: int) -> str:
        """The name of column `at` (n, 1) of a tensor (n, H)."""
        if (name, at) not in self.slices:
            node = self.producer.get(name)
            part = self._through(node, name, at) if node is not None else None
            self.slices[name, at] = part or self._op("Gather", [name, self._indices([at])], {"axis": 1})
        return self.slices[name, at]

    def needed(self, names: Sequence[str]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The nodes and constants behind tensors, in an order in which they can run."""
        own = {name: node for node in self.nodes for name in node.output}
        nodes: dict[int, onnx.NodeProto] = {}
        constants: dict[str, onnx.TensorProto] = {}
        todo = [*names]
        while todo:
            name = todo.pop()
            node = own.get(name) or self.producer.get(name)
            if name in self.constant and (node is None or node.op_type == "Constant"):
                tensor = type(self.constant[name])()
                tensor.CopyFrom(self.constant[name])
                tensor.name = name
                constants[name] = tensor
            elif node is not None and id(node) not in nodes:
                nodes[id(node)] = node
                todo += [each for each in node.input if each] + _outer_names(node)
        old = sorted((each for each in nodes if each in self.order), key=self.order.__getitem__)
        new = [id(each) for each in self.nodes if id(each) in nodes]
        return [nodes[each] for each in (*old, *new)], list(constants.values())

    def _through(self, node: onnx.NodeProto, name: str, at: int) -> str | None:
        """The column taken from the node's inputs; None where it must be cut from its output."""
        attributes = _attributes(node)
        inputs = list(node.input)
        if node.op_type == "Concat" and attributes.get("axis") in (1, -1):
            widths = [self.width.get(each) for each in inputs]
            first = 0
            for each, width in zip(inputs, widths, strict=True):
                if width is None:
                    return None
                if at < first + width:
                    return each if width == 1 else self.column(each, at - first)
                first += width
        if node.op_type == "MatMul" and inputs[1] in self.constant and self.array[inputs[1]].ndim == 2:
            return self._op("MatMul", [inputs[0], self._cut(inputs[1], at)], {})
        if node.op_type == "Gather" and attributes.get("axis") == 1 and self._is_list(inputs[1]):
            return self._op("Gather", [inputs[0], self._indices([int(self.array[inputs[1]][at])])], attributes)
        if node.op_type not in BY_COLUMN or (wide := self.width.get(name)) is None:
            return None
        parts = [self._operand(each, wide, at) for each in inputs]
        return None if None in parts else self._op(node.op_type, [str(each) for each in parts], attributes)

    def _operand(self, name: str, wide: int, at: int) -> str | None:
        """What an operand by column needs of an input; None where its shape is not known."""
        if not name or (name in self.constant and self.array[name].shape[-1:] in ((), (1,))):
            return name
        if name in self.constant:
            return self._cut(name, at)
        width = self.width.get(name)
        return None if width is None else name if width == 1 else self.column(name, at) if width == wide else None

    def _is_list(self, name: str) -> bool:
        return name in self.constant and self.array[name].ndim == 1

    def _cut(self, name: str, at: int) -> str:
        return self._constant(self.array[name][..., [at]], f"{name}/{at}")

    def _indices(self, at: list[int]) -> str:
        return self._constant(np.array(at, dtype=np.int64), f"{self.prefix}i{at[0]}")

    def _constant(self, array: Any, name: str) -> str:
        from onnx import numpy_helper

        self.constant[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.array[name] = array
        return name

    def _op(self, kind: str, inputs: list[str], attributes: Mapping[str, Any]) -> str:
        from onnx import helper

        name = f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _width(value: onnx.ValueInfoProto) -> int | None:
    """The known length of a tensor's second axis, if it has two."""
    sizes = value.type.tensor_type.shape.dim
    return int(sizes[1].dim_value) or None if len(sizes) == 2 else None


def _outer_names(node: onnx.NodeProto) -> list[str]:
    """What the graphs inside a node, such as those of an `If`, take from outside."""
    graphs = [graph for each in node.attribute for graph in (*([each.g] if each.HasField("g") else ()), *each.graphs)]
    inner = [each for graph in graphs for each in graph.node]
    return [name for each in inner for name in (*each.input, *_outer_names(each)) if name]
