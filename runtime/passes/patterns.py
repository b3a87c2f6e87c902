"""Recognises activations that are written out in simpler operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.specialise import Specs

__all__ = ["recognise_activations"]


def recognise_activations(graph: Graph, specs: Specs) -> Graph:
    """Return the graph with hard_sigmoid, hard_swish, silu, gelu and clip in place of their parts.

    The parts stay where something else uses them.
    """
    index = Index(graph)
    nodes = []
    for node in graph.nodes:
        made = node
        if not node.epilogue:
            for rule in _RULES.get(node.operator, ()):
                found = rule(node, index, specs)
                if found is not None:
                    operator, x, attributes = found
                    made = replace(node, operator=operator, inputs=(x,), attributes=attributes)
                    break
        for name in made.outputs:
            index.maker[name] = made
        nodes.append(made)
    return replace(graph, nodes=tuple(nodes))


_Found = tuple[str, str, dict[str, Any]] | None


def _close(value: float | None, wanted: float) -> bool:
    return value is not None and math.isclose(value, wanted, rel_tol=1e-5, abs_tol=1e-7)


def _either(node: Node) -> Iterable[tuple[str, str]]:
    """Yield both orders of a commutative operator's inputs."""
    a, b = node.inputs
    if a is not None and b is not None:
        yield a, b
        yield b, a


def _scaled(value: str | None, index: Index, specs: Specs) -> tuple[str, float] | None:
    """Return x and s where `value` is ``s * x`` or ``x / s`` by a constant s."""
    node = index.made_by(value, "mul", "div")
    if node is None:
        return None
    pairs = (
        _either(node) if node.operator == "mul" else [(str(node.inputs[0]), str(node.inputs[1]))]
    )
    for x, constant in pairs:
        number = index.number(constant)
        if number and specs[x].rank >= specs[constant].rank:
            return x, (number if node.operator == "mul" else 1.0 / number)
    return None


def _shifted(value: str | None, index: Index, specs: Specs) -> tuple[str, float] | None:
    """Return x and b where `value` is ``x + b`` or ``x - b`` by a constant b."""
    node = index.made_by(value, "add", "sub")
    if node is None:
        return None
    pairs = (
        _either(node) if node.operator == "add" else [(str(node.inputs[0]), str(node.inputs[1]))]
    )
    for x, constant in pairs:
        number = index.number(constant)
        if number is not None and specs[x].rank >= specs[constant].rank:
            return x, (number if node.operator == "add" else -number)
    return None


def _affine(value: str, index: Index, specs: Specs) -> tuple[str, float, float] | None:
    """Return x, a, b where `value` is ``a * x + b``, at least one of them written out."""
    shifted = _shifted(value, index, specs)
    inner, shift = shifted or (value, 0.0)
    scaled = _scaled(inner, index, specs)
    if scaled is not None:
        return scaled[0], scaled[1], shift
    return None if shifted is None else (inner, 1.0, shift)


def _clip_bounds(value: str | None, index: Index) -> tuple[str, float, float] | None:
    node = index.made_by(value, "clip", "relu")
    if node is None or node.inputs[0] is None:
        return None
    if node.operator == "relu":
        return node.inputs[0], 0.0, math.inf
    low, high = node.attributes.get("minimum", -math.inf), node.attributes.get("maximum", math.inf)
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        return node.inputs[0], float(low), float(high)
    return None


def _hard_sigmoid_of_clip(node: Node, index: Index, specs: Specs) -> _Found:
    """clip(a x + b, 0, 1)."""
    bounds = _clip_bounds(node.outputs[0], index)
    if bounds is None or bounds[1:] != (0.0, 1.0):
        return None
    affine = _affine(bounds[0], index, specs)
    if affine is None or not _floating(affine[0], specs):
        return None
    return "hard_sigmoid", affine[0], {"alpha": affine[1], "beta": affine[2]}


def _hard_sigmoid_of_scale(node: Node, index: Index, specs: Specs) -> _Found:
    """clip(a x + b, 0, h) / h."""
    scaled = _scaled(node.outputs[0], index, specs)
    bounds = _clip_bounds(scaled[0], index) if scaled is not None else None
    if (
        scaled is None
        or bounds is None
        or bounds[1] != 0.0
        or not _close(scaled[1] * bounds[2], 1.0)
    ):
        return None
    affine = _affine(bounds[0], index, specs)
    if affine is None or not _floating(affine[0], specs):
        return None
    x, a, b = affine
    return "hard_sigmoid", x, {"alpha": a * scaled[1], "beta": b * scaled[1]}


def _hard_swish_of_sigmoid(node: Node, index: Index, specs: Specs) -> _Found:
    """X * hard_sigmoid(x), with 1/6 and 1/2."""
    for x, other in _either(node):
        gate = index.made_by(other, "hard_sigmoid")
        if gate is not None and gate.inputs[0] == x and _sixth(gate):
            return "hard_swish", x, {}
    return None


def _sixth(gate: Node) -> bool:
    alpha, beta = gate.attributes.get("alpha", 0.2), gate.attributes.get("beta", 0.5)
    return (
        isinstance(alpha, (int, float))
        and isinstance(beta, (int, float))
        and _close(float(alpha), 1 / 6)
        and _close(float(beta), 0.5)
    )


def _hard_swish_of_product(node: Node, index: Index, specs: Specs) -> _Found:
    """(x * clip(x + 3, 0, 6)) / 6."""
    scaled = _scaled(node.outputs[0], index, specs)
    product = index.made_by(scaled[0], "mul") if scaled is not None else None
    if scaled is None or product is None or not _close(scaled[1], 1 / 6):
        return None
    for x, other in _either(product):
        bounds = _clip_bounds(other, index)
        if bounds is None or bounds[1:] != (0.0, 6.0) or not _floating(x, specs):
            continue
        shifted = _shifted(bounds[0], index, specs)
        if shifted is not None and shifted[0] == x and _close(shifted[1], 3.0):
            return "hard_swish", x, {}
    return None


def _silu(node: Node, index: Index, specs: Specs) -> _Found:
    """X * sigmoid(x)."""
    for x, other in _either(node):
        gate = index.made_by(other, "sigmoid")
        if gate is not None and gate.inputs[0] == x:
            return "silu", x, {}
    return None


def _gelu(node: Node, index: Index, specs: Specs) -> _Found:
    """0.5 x (1 + erf(x / sqrt 2)), the factors in any order."""
    factor, parts = _factors(node.outputs[0], index, specs)
    if not _close(factor, 0.5) or len(parts) != 2:
        return None
    for x, other in (parts, parts[::-1]):
        shifted = _shifted(other, index, specs)
        if shifted is None or not _close(shifted[1], 1.0):
            continue
        inner = index.made_by(shifted[0], "erf")
        scaled = _scaled(inner.inputs[0], index, specs) if inner is not None else None
        if scaled is not None and scaled[0] == x and _close(scaled[1], math.sqrt(0.5)):
            return "gelu", x, {"approximate": "none"}
    return None


def _factors(value: str, index: Index, specs: Specs, depth: int = 3) -> tuple[float, list[str]]:
    """Take a product of scalars and values apart."""
    scaled = _scaled(value, index, specs)
    if scaled is not None and depth:
        factor, parts = _factors(scaled[0], index, specs, depth - 1)
        return factor * scaled[1], parts
    node = index.made_by(value, "mul")
    if node is None or not depth:
        return 1.0, [value]
    total, parts = 1.0, []
    for name in node.inputs:
        factor, more = _factors(str(name), index, specs, depth - 1)
        total *= factor
        parts += more
    return total, parts


def _clip_of_bounds(node: Node, index: Index, specs: Specs) -> _Found:
    """minimum(maximum(x, low), high), and each of them alone, by constants of one element."""
    for x, constant in _either(node):
        number = index.number(constant)
        if number is None or math.isnan(number) or specs[x].rank < specs[constant].rank:
            continue
        if not _floating(x, specs):
            return None
        low, high = (number, math.inf) if node.operator == "maximum" else (-math.inf, number)
        bounds = _clip_bounds(x, index)
        if bounds is not None:
            inner_low, inner_high = bounds[1:]
            if node.operator == "minimum" and inner_high == math.inf and inner_low <= high:
                return "clip", bounds[0], {"minimum": inner_low, "maximum": high}
        if (low, high) == (0.0, math.inf):
            return "relu", x, {}
        return "clip", x, {"minimum": low, "maximum": high}
    return None


def _floating(value: str, specs: Specs) -> bool:
    return "float" in specs[value].dtype


_Rule = Callable[[Node, Index, Specs], _Found]

_RULES: Mapping[str, tuple[_Rule, ...]] = {
    "clip": (_hard_sigmoid_of_clip,),
    "mul": (
        _hard_sigmoid_of_scale,
        _hard_swish_of_sigmoid,
        _hard_swish_of_product,
        _silu,
        _gelu,
    ),
    "div": (_hard_sigmoid_of_scale, _hard_swish_of_product),
    "maximum": (_clip_of_bounds,),
    "minimum": (_clip_of_bounds,),
}
