"""Products of matrices and the transposes and scalings around them: what goes, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dispatch
from runtime.passes.dead import remove_dead
from runtime.passes.products import absorb_into_products
from tests.runtime.pass_helpers import array, array0, check_values, operators, specialised

A, B, H = array(2, 3, 7, 5), array(2, 3, 9, 5), array(2, 9, 3, 5)


def exchanged(x: Any) -> Any:
    return dispatch.transpose(x, (0, 1, 3, 2))


PRODUCTS: dict[str, tuple[Callable[..., Any], Any, list[str], int, float]] = {
    "transposed": (lambda a, b: a @ exchanged(b), B, ["matmul"], 1, 1.0),
    "transposed twice": (
        lambda a, b: dispatch.matmul(a, exchanged(b), transpose_b=True),
        exchanged(B),
        ["matmul"],
        0,
        1.0,
    ),
    "heads apart and transposed": (
        lambda a, b: a @ dispatch.transpose(b, (0, 2, 3, 1)), H, ["transpose", "matmul"], 1, 1.0
    ),
    "heads apart alone": (
        lambda a, b: dispatch.matmul(a, dispatch.transpose(b, (0, 2, 1, 3)), transpose_b=True),
        H,
        ["transpose", "matmul"],
        1,
        1.0,
    ),
    "transposed for others too": (
        lambda a, b: (a @ (y := exchanged(b))) * dispatch.exp(y).sum(),
        B,
        ["transpose", "matmul", "exp", "sum", "mul"],
        0,
        1.0,
    ),
    "scaled": (lambda a, b: (a @ b) * 0.5, exchanged(B), ["matmul"], 0, 0.5),
    "divided": (lambda a, b: (a @ b) / np.float32(4), exchanged(B), ["matmul"], 0, 0.25),
    "operands scaled": (
        lambda a, b: (0.5 * a) @ (exchanged(b) * 0.25), B, ["matmul"], 1, 0.125
    ),
    "all of it": (
        lambda a, b: ((a / 2.0) @ exchanged(b * 0.25)) * 3.0, B, ["matmul"], 1, 0.375
    ),
    "scaled for others too": (
        lambda a, b: (y := a @ b) * 0.5 + y,
        exchanged(B),
        ["matmul", "mul", "add"],
        0,
        1.0,
    ),
    "many scales": (
        lambda a, b: (a @ b) * array0(9), exchanged(B), ["matmul", "mul"], 0, 1.0
    ),
    "a scale of more dimensions": (
        lambda a, b: (a @ b) * array0(1, 1, 1, 1, 1), exchanged(B), ["matmul", "mul"], 0, 1.0
    ),
    "a number by a product": (
        lambda a, b: 2.0 / (a @ b), exchanged(B), ["matmul", "div"], 0, 1.0
    ),
    "by a constant": (
        lambda a, b: (a * 0.5) @ array0(5, 4) + b.sum(), B, ["mul", "matmul", "sum", "add"], 0, 1.0
    ),
    "a bias": (
        lambda a, b: dispatch.matmul(a * 0.5, b, array0(9)) * 2.0,
        exchanged(B),
        ["mul", "matmul", "mul"],
        0,
        1.0,
    ),
    "nothing to scale by": (lambda a, b: (a @ b) * 0.0, exchanged(B), ["matmul", "mul"], 0, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_take_what_is_around_them(name: str) -> None:
    function, b, wanted, transposed, alpha = PRODUCTS[name]
    graph, specs = specialised(function, A, b)
    made = remove_dead(absorb_into_products(graph, specs))
    assert operators(made) == wanted
    (node,) = [n for n in made.nodes if n.operator == "matmul"]
    assert (node.attributes["transpose_b"], node.attributes["alpha"]) == (transposed, alpha)
    check_values(function, A, b)


def test_products_of_halves_are_not_scaled_late() -> None:
    a, b = A.astype(np.float16), exchanged(B).astype(np.float16)
    graph, specs = specialised(lambda a, b: (a * np.float16(0.5)) @ b, a, b)
    assert absorb_into_products(graph, specs).nodes == graph.nodes
