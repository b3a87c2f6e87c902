"""Makes integer operators of real ones between dequantised inputs and a quantised result.

What is written as ``quantize_linear(conv2d(dequantize_linear(x), dequantize_linear(w)))`` is
`qconv2d` on x and w. The integer operator rounds once where the written one rounds at every step:
results may differ by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dispatch.dtypes import numpy_dtype
from dispatch.errors import DispatchError
from dispatch.operator import Array
from dispatch.operators import operators
from dispatch.quantization import RANGES, STORED, dequantize
from dispatch.tensor import Quantization, TensorSpec
from runtime.evaluate import evaluated
from runtime.graph import Graph, Node, Reference, Step
from runtime.passes.fusion import step_of
from runtime.passes.index import Index
from runtime.passes.rewrite import fresh_constant
from runtime.specialise import Specs, constant_spec, problem_of

__all__ = ["use_integers"]

ENTRIES = 256
LONGEST = 16
"""Functions of one element that become one table."""
BIAS = float(2**30)
"""A bias beyond this would leave the sums no room."""


def use_integers(graph: Graph, specs: Specs) -> Graph:
    """Return the graph with integer operators where values are quantised before and after.

    Parameters
    ----------
    graph
        Before constants are folded: weights are still dequantised by nodes.
    specs
        What is known of its values for the example's shapes.
    """
    rewriter = _Rewriter(graph, specs)
    for node in graph.nodes:
        rewriter.add(rewriter.rewritten(node) or [node])
    return rewriter.result()


@dataclass
class _Rewriter:
    """The graph as it was, and the nodes and constants of the one that is made."""

    graph: Graph
    specs: Specs
    index: Index = field(init=False)
    constants: dict[str, Array] = field(init=False)
    quantizations: dict[str, Quantization] = field(init=False)
    nodes: list[Node] = field(default_factory=list)
    taken: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.index = Index(self.graph)
        self.constants = dict(self.graph.constants)
        self.quantizations = dict(self.graph.quantizations)
        self.taken = {*self.index.maker, *self.constants, *(i.name for i in self.graph.inputs)}

    def add(self, nodes: Sequence[Node]) -> None:
        """Add nodes in order; what they make may be rewritten again."""
        self.nodes += nodes
        for node in nodes:
            for name in node.outputs:
                self.index.maker[name] = node

    def result(self) -> Graph:
        """Return the graph that was made; what nothing uses any more is still in it."""
        return replace(
            self.graph,
            nodes=tuple(self.nodes),
            constants=self.constants,
            quantizations=self.quantizations,
        )

    def rewritten(self, node: Node) -> list[Node] | None:
        """Return what takes the place of a node that quantises, None to leave it."""
        if node.operator != "quantize_linear" or node.epilogue:
            return None
        y = self.specs[node.outputs[0]]
        if y.quantization is None or y.quantization.axis != -1 or y.dtype not in STORED:
            return None
        table = self.table(node)
        if table is not None:
            return table
        value, steps = self.bounded(str(node.inputs[0]))
        base = self.alone(value)
        if base is not None:
            rule = _RULES.get(base.operator)
            made = rule(self, base, node, steps) if rule is not None else None
            if made is not None:
                return made
        return None if steps else self.moved(node)

    # ---- What is there ----------------------------------------------------------------------

    def bounded(self, value: str) -> tuple[str, tuple[Step, ...]]:
        """Return what a value is before the bounds that follow it, and those bounds."""
        steps: list[Step] = []
        while True:
            node = self.index.made_by(value, "relu", "clip")
            step = None if node is None or _refers(node) else step_of(node)
            if node is None or step is None or not self.index.used_once(value):
                return value, tuple(reversed(steps))
            steps.append(step)
            value = str(node.inputs[0])

    def alone(self, value: str) -> Node | None:
        """Return the node that makes a value which nothing else uses."""
        node = self.index.maker.get(value)
        if node is None or node.epilogue or not self.index.used_once(value):
            return None
        return node

    def quantized(self, value: str | None, axis: int | None = None) -> str | None:
        """Return the quantised value that a real one stands for: one scale, or along `axis`."""
        node = self.index.made_by(value, "dequantize_linear")
        if node is None:
            return None
        source = str(node.inputs[0])
        spec = self.spec(source)
        if spec.dtype not in STORED or spec.quantization is None:
            return None
        if spec.quantization.axis not in (-1, axis):
            return None
        return source

    def spec(self, value: str) -> TensorSpec:
        """Return what a value is."""
        if value in self.constants:
            return constant_spec(self.constants[value], self.quantizations.get(value))
        return self.specs[value]

    def elements(self, value: str | None) -> Array | None:
        """Return the elements of a real constant, dequantised where it is written so."""
        node = self.index.made_by(value, "dequantize_linear")
        source = None if node is None else str(node.inputs[0])
        if source in self.constants:
            real = dequantize(self.constants[source], self.quantizations[source])
            return real.astype(np.float32)
        return self.constants.get(str(value))

    # ---- What is made -----------------------------------------------------------------------

    def constant(self, stem: str, array: Array, quantization: Quantization | None = None) -> str:
        """Add a constant."""
        name = fresh_constant(self.constants, self.fresh(stem), array)
        if quantization is not None:
            self.quantizations[name] = quantization
        return name

    def fresh(self, stem: str) -> str:
        """Return a name that nothing has."""
        name, count = stem, 0
        while name in self.taken:
            count += 1
            name = f"{stem}.{count}"
        self.taken.add(name)
        return name

    def integers_of(self, value: str, label: str) -> tuple[list[Node], str]:
        """Return a quantised value's plain integers, and the node for it."""
        name = self.fresh(f"{value}.stored")
        return [Node("as_stored", (value,), (name,), label=label)], name

    def meaning(self, value: str, like: Node) -> Node:
        """Return the node that takes plain integers for what `like`'s output is."""
        q = self.specs[like.outputs[0]].quantization
        assert q is not None
        attributes = {"scale": q.scales[0], "zero_point": q.zero_points[0], "axis": None}
        return Node("as_quantized", (value,), like.outputs, attributes, label=like.label)

    def bias(self, value: str | None, unit: Array, channels: int) -> tuple[bool, str | None]:
        """Return whether a bias can be had in int32, and it, in units of `unit`."""
        if value is None:
            return True, None
        node = self.index.made_by(value, "dequantize_linear")
        if node is not None and str(node.inputs[0]) in self.constants:
            source = str(node.inputs[0])
            q = self.quantizations[source]
            scales = np.asarray(q.scales, np.float64)
            whole = not any(q.zero_points) and self.constants[source].shape == (channels,)
            if whole and np.allclose(scales, unit.reshape(-1), rtol=1e-5, atol=0.0):
                held = self.constants[source].astype(np.int32)
                return True, self.constant(f"{source}.bias", held)
        real = self.elements(value)
        if real is None or real.shape != (channels,):
            return False, None
        with np.errstate(all="ignore"):
            sums = np.rint(real.astype(np.float64) / unit)
        if not np.isfinite(sums).all() or np.abs(sums).max(initial=0.0) > BIAS:
            return False, None
        return True, self.constant(f"{value}.bias", sums.astype(np.int32))

    # ---- Rules ------------------------------------------------------------------------------

    def table(self, node: Node) -> list[Node] | None:
        """A function of one quantised tensor, element by element, is a table."""
        nodes: list[Node] = []
        source = self.origin(str(node.inputs[0]), self.specs[node.outputs[0]].shape, nodes)
        if not source:
            return None
        return self.looked_up(source, [*nodes, node], node.outputs[0])

    def looked_up(self, source: str, nodes: Sequence[Node], result: str) -> list[Node] | None:
        """Return the nodes that look up what `nodes`, the last of which quantises, make.

        A table that only bounds the integers is a clip, one of themselves is nothing.
        """
        x = self.spec(source)
        entries = self.entries(x, nodes)
        if entries is None:
            return None
        node = nodes[-1]
        made, name = self.integers_of(source, node.label)
        bounds = (int(entries[0]), int(entries[-1]))
        looked = self.fresh(f"{result}.stored")
        if not _is_clip(entries, x.dtype):
            inputs = (name, self.constant(f"{result}.table", entries))
            made.append(Node("lookup", inputs, (looked,), label=node.label))
        elif bounds != RANGES[x.dtype]:
            attributes = {"minimum": float(bounds[0]), "maximum": float(bounds[1])}
            made.append(Node("clip", (name,), (looked,), attributes, label=node.label))
        else:
            looked = name
        return [*made, replace(self.meaning(looked, node), outputs=(result,))]

    def origin(self, value: str, shape: tuple[int, ...], nodes: list[Node]) -> str | None:
        """Return the one quantised value that a real one follows from, element by element.

        The nodes on the way are added to `nodes`, each after those it needs. "" for
        a known number, None where there is no such value.
        """
        if self.number(value) is not None:
            return ""
        if self.specs[value].shape != shape or self.specs[value].dtype != "float32":
            return None
        source = self.quantized(value)
        node = self.index.maker.get(value)
        if source is not None or node is None or node in nodes:
            return source if node not in nodes else ""
        operator = operators().get(node.operator)
        if operator is None or not operator.elementwise or node.epilogue or _refers(node):
            return None
        sources = {self.origin(name, shape, nodes) for name in node.inputs if name is not None}
        nodes.append(node)
        sources.discard("")
        return sources.pop() if len(sources) == 1 and len(nodes) <= LONGEST else None

    def number(self, value: str) -> float | None:
        """Return a value that is one known number."""
        array = self.elements(value)
        return float(array.reshape(())) if array is not None and array.size == 1 else None

    def entries(self, x: TensorSpec, nodes: Sequence[Node]) -> Array | None:
        """Return what nodes make of each stored value of x; None where it isn't a number."""
        low, high = RANGES[x.dtype]
        assert x.quantization is not None
        every = np.arange(low, high + 1, dtype=numpy_dtype(x.dtype))
        real = dequantize(every, x.quantization).astype(np.float32)
        made: dict[str, Array] = {}
        result = real
        for node in nodes:
            arrays: list[Array | None] = []
            for name in node.inputs:
                number = None if name is None else self.number(name)
                if number is not None:
                    arrays.append(np.asarray(number, np.float32))
                else:
                    arrays.append(None if name is None else made.get(name, real))
            specs = {
                str(at): TensorSpec("float32", array.shape)
                for at, array in enumerate(arrays)
                if array is not None
            }
            names = tuple(None if a is None else str(at) for at, a in enumerate(arrays))
            problem = problem_of(replace(node, inputs=names), specs)
            (result,) = evaluated(operators()[node.operator], arrays, problem)
            if np.isnan(result.astype(np.float32)).any():
                return None
            made[node.outputs[0]] = result
        return result

    def moved(self, node: Node) -> list[Node] | None:
        """Moving real values to a result of the same scale is moving their integers."""
        base = self.alone(str(node.inputs[0]))
        if base is None or base.operator not in _MOVES or len(base.outputs) != 1:
            return None
        if base.operator == "resize" and base.attributes.get("mode", "nearest") != "nearest":
            return None
        wanted = self.specs[node.outputs[0]]
        count = len(base.inputs) if base.operator == "concat" else 1
        made: list[Node] = []
        names: list[str | None] = []
        for position, name in enumerate(base.inputs):
            if position >= count or name is None:
                names.append(name)
                continue
            source = self.quantized(name)
            if source is None:
                return None
            spec = self.spec(source)
            if (spec.quantization, spec.dtype) != (wanted.quantization, wanted.dtype):
                requantised = self.requantised(source, node)
                if requantised is None:
                    return None
                made += requantised
                source = requantised[-1].outputs[0]
            stored, integers = self.integers_of(source, base.label)
            made += stored
            names.append(integers)
        moved = self.fresh(f"{node.outputs[0]}.stored")
        made.append(replace(base, inputs=tuple(names), outputs=(moved,)))
        return [*made, self.meaning(moved, node)]

    def requantised(self, source: str, node: Node) -> list[Node] | None:
        """Return the nodes that bring a quantised value to the scale of `node`'s result."""
        result = self.fresh(f"{source}.requantised")
        wanted = replace(self.specs[node.outputs[0]], shape=self.spec(source).shape)
        made = self.looked_up(source, [node], result)
        if made is not None:
            self.specs = {**self.specs, result: wanted}
        return made


def _is_clip(entries: Array, dtype: str) -> bool:
    """Say whether a table gives each stored value itself, held between its first and last entry."""
    low, high = RANGES[dtype]
    held = np.clip(np.arange(low, high + 1), int(entries[0]), int(entries[-1]))
    return entries.dtype.name == dtype and bool(np.array_equal(entries, held))


def _refers(node: Node) -> bool:
    """Say whether an attribute is known only when planning."""
    return any(isinstance(value, Reference) for value in node.attributes.values())


_MOVES = frozenset({
    "concat", "expand", "gather", "gather_elements", "gather_nd", "global_max_pool2d", "max_pool2d",
    "reshape", "resize", "slice", "transpose",
})  # fmt: skip
"""Operators whose results are elements of their inputs."""


# ---- Operators with an integer one of their own ------------------------------------------------


def _result(rewriter: _Rewriter, node: Node) -> dict[str, Any]:
    """Return the keywords of a quantised result."""
    y = rewriter.specs[node.outputs[0]]
    assert y.quantization is not None
    return {
        "scale": y.quantization.scales[0],
        "zero_point": y.quantization.zero_points[0],
        "dtype": y.dtype,
    }


def _unit(rewriter: _Rewriter, x: str, w: str) -> Array:
    """Return what a sum of products counts in, in float64."""
    q_x, q_w = rewriter.spec(x).quantization, rewriter.spec(w).quantization
    assert q_x is not None and q_w is not None
    return np.float64(q_x.scales[0]) * np.asarray(q_w.scales, np.float64)


def _fits(rewriter: _Rewriter, made: Node) -> bool:
    """Say whether inference takes a node: a multiplier may be no normal number."""
    if _refers(made):
        return False
    try:
        problem_of(made, {n: rewriter.spec(n) for n in made.inputs if n is not None})
    except DispatchError:
        return False
    return True


def _convolution(operator: str, axis: int) -> _Rule:
    """Return the rule of a convolution whose filters have scales along `axis`."""

    def rule(
        rewriter: _Rewriter, base: Node, node: Node, steps: tuple[Step, ...]
    ) -> list[Node] | None:
        if _refers(base):
            return None
        x, w = rewriter.quantized(base.inputs[0]), rewriter.quantized(base.inputs[1], axis=axis)
        if x is None or w is None:
            return None
        unit, channels = _unit(rewriter, x, w), rewriter.spec(w).shape[axis]
        if axis == 1:  # filters of one group; the others have the same scales
            groups: Any = {**operators()[base.operator].attributes, **base.attributes}["groups"]
            unit = np.tile(unit, groups) if unit.size > 1 else unit
            channels *= groups
        there, bias = rewriter.bias(base.inputs[2], unit, channels)
        if not there:
            return None
        attributes = {**base.attributes, **_result(rewriter, node)}
        made = Node(operator, (x, w, bias), node.outputs, attributes, steps, base.label)
        return [made] if _fits(rewriter, made) else None

    return rule


def _product(
    rewriter: _Rewriter, base: Node, node: Node, steps: tuple[Step, ...]
) -> list[Node] | None:
    settings = {**operators()["matmul"].attributes, **base.attributes}
    if settings["transpose_a"] or settings["alpha"] != 1.0:
        return None
    a = rewriter.quantized(base.inputs[0])
    transposed = bool(settings["transpose_b"])
    real_b = str(base.inputs[1])
    rank = rewriter.specs[real_b].rank if real_b in rewriter.specs else 0
    b = rewriter.quantized(real_b, axis=rank - 2 if transposed else rank - 1)
    if a is None or b is None:
        return None
    if transposed:
        turned = _transposed(rewriter, b)
        if turned is None:
            return None
        b = turned
    columns = rewriter.spec(b).shape[-1]
    there, bias = rewriter.bias(base.inputs[2], _unit(rewriter, a, b), columns)
    if not there:
        return None
    made = Node("qmatmul", (a, b, bias), node.outputs, _result(rewriter, node), steps, base.label)
    return [made] if _fits(rewriter, made) else None


def _transposed(rewriter: _Rewriter, b: str) -> str | None:
    """Return constant weights with their last two axes exchanged."""
    array = rewriter.constants.get(b)
    if array is None:
        return None
    q = rewriter.quantizations[b]
    axis = q.axis if q.axis == -1 else array.ndim - 1
    turned = np.ascontiguousarray(np.swapaxes(array, -1, -2))
    return rewriter.constant(f"{b}.transposed", turned, replace(q, axis=axis))


def _pair(operator: str) -> _Rule:
    def rule(
        rewriter: _Rewriter, base: Node, node: Node, steps: tuple[Step, ...]
    ) -> list[Node] | None:
        a, b = (rewriter.quantized(name) for name in base.inputs)
        if a is None or b is None:
            return None
        made = Node(operator, (a, b), node.outputs, _result(rewriter, node), steps, base.label)
        return [made] if _fits(rewriter, made) else None

    return rule


def _average(operator: str) -> _Rule:
    def rule(
        rewriter: _Rewriter, base: Node, node: Node, steps: tuple[Step, ...]
    ) -> list[Node] | None:
        x = rewriter.quantized(base.inputs[0])
        if x is None:
            return None
        attributes = {**base.attributes, **_result(rewriter, node)}
        made = Node(operator, (x,), node.outputs, attributes, steps, base.label)
        return [made] if _fits(rewriter, made) else None

    return rule


def _softmax(
    rewriter: _Rewriter, base: Node, node: Node, steps: tuple[Step, ...]
) -> list[Node] | None:
    """A result that is bounded besides isn't worth an operator of its own."""
    return None if steps else _average("qsoftmax")(rewriter, base, node, steps)


_Rule = Callable[[_Rewriter, Node, Node, tuple[Step, ...]], list[Node] | None]
"""Returns what takes the place of a real operator whose result a node quantises, after steps."""

_RULES: Mapping[str, _Rule] = {
    "add": _pair("qadd"),
    "avg_pool2d": _average("qavg_pool2d"),
    "conv2d": _convolution("qconv2d", axis=0),
    "conv_transpose2d": _convolution("qconv_transpose2d", axis=1),
    "global_avg_pool2d": _average("qglobal_avg_pool2d"),
    "matmul": _product,
    "mul": _pair("qmul"),
    "softmax": _softmax,
}
