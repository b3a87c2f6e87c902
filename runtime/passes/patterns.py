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
    """0.5 x (1 + erf(x / sqrt 2)), and with tanh, the factors in any order."""
    whole = node.outputs[0]
    for gate in _factors(whole, index, specs)[1]:
        shifted = _shifted(gate, index, specs)
        if shifted is None or not _close(shifted[1], 1.0):
            continue
        inner = index.made_by(shifted[0], "erf", "tanh")
        if inner is None or inner.inputs[0] is None:
            continue
        form = "none" if inner.operator == "erf" else "tanh"
        for x in _ARGUMENTS[form](inner.inputs[0], index, specs):
            if _is_monomial(whole, 0.5, 1, x, index, specs, gate):
                return "gelu", x, {"approximate": form}
    return None


def _argument_of_erf(value: str, index: Index, specs: Specs) -> Iterable[str]:
    """Yield x where `value` is ``x / sqrt 2``."""
    scaled = _scaled(value, index, specs)
    if scaled is not None and _close(scaled[1], math.sqrt(0.5)):
        yield scaled[0]


_CUBIC = 0.044715


def _argument_of_tanh(value: str, index: Index, specs: Specs) -> Iterable[str]:
    """Yield x where `value` is ``sqrt(2 / pi) (x + 0.044715 x^3)``."""
    factor, parts = _factors(value, index, specs)
    if not _close(factor, math.sqrt(2 / math.pi)):
        return
    if len(parts) == 1 and (total := index.made_by(parts[0], "add")) is not None:
        for x, other in _either(total):
            if _is_monomial(other, _CUBIC, 3, x, index, specs):
                yield x
    for part in parts:
        shifted = _shifted(part, index, specs)
        if shifted is None or not _close(shifted[1], 1.0):
            continue
        for x in parts:
            if _is_monomial(shifted[0], _CUBIC, 2, x, index, specs) and _is_monomial(
                value, factor, 1, x, index, specs, part
            ):
                yield x


_ARGUMENTS: Mapping[str, Callable[[str, Index, Specs], Iterable[str]]] = {
    "none": _argument_of_erf,
    "tanh": _argument_of_tanh,
}


def _is_monomial(
    value: str,
    factor: float,
    power: int,
    x: str,
    index: Index,
    specs: Specs,
    once: str | None = None,
) -> bool:
    """Say whether `value` is a factor times a power of x, times `once` where that is given."""
    found = _monomial(value, x, once, index, specs)
    return (
        found is not None
        and _close(found[0], factor)
        and found[1:] == (power, int(once is not None))
    )


def _monomial(
    value: str, x: str, other: str | None, index: Index, specs: Specs, depth: int = 5
) -> tuple[float, float, int] | None:
    """Return a factor, and how often x and `other` are multiplied, if `value` is such a product."""
    if value in (x, other):
        return (1.0, 1.0, 0) if value == x else (1.0, 0.0, 1)
    scaled = _scaled(value, index, specs) if depth else None
    if scaled is not None:
        inner = _monomial(scaled[0], x, other, index, specs, depth - 1)
        return None if inner is None else (scaled[1] * inner[0], *inner[1:])
    power = index.made_by(value, "pow")
    exponent = None if power is None else index.number(power.inputs[1])
    if power is not None and exponent is not None and power.inputs[0] == x:
        return (1.0, exponent, 0) if specs[x].rank == specs[value].rank else None
    product = index.made_by(value, "mul")
    if product is None or not depth:
        return None
    a, b = (_monomial(str(n), x, other, index, specs, depth - 1) for n in product.inputs)
    return None if a is None or b is None else (a[0] * b[0], a[1] + b[1], a[2] + b[2])


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
