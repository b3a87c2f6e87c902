"""Measures how exact the portable pack's functions are at the level that the environment names.

A program of its own, which `test_portable_functions` starts. It writes JSON: for each function the
largest error in units in the last place, and the x that has it.
"""

import json
import math
import sys
from collections.abc import Callable

import numpy as np

import dispatch
from dispatch.operator import Array

STRIDE = 9973
"""A prime, so that all exponents and all kinds of mantissas come by."""

SMALLEST = 2.0**-100
"""Of the results that count: in smaller ones a factor may have lost digits."""


def each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    return np.vectorize(function, otypes=[np.float64])


def logistic(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def gelu(x: Array) -> Array:
    return 0.5 * x * each(math.erfc)(-x * math.sqrt(0.5))


FUNCTIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "exp": (dispatch.exp, np.exp),
    "elu": (dispatch.elu, lambda x: np.where(x < 0, np.expm1(x), x)),
    "sigmoid": (dispatch.sigmoid, logistic),
    "silu": (dispatch.silu, lambda x: x * logistic(x)),
    "tanh": (dispatch.tanh, np.tanh),
    "erf": (dispatch.erf, each(math.erf)),
    "gelu": (dispatch.gelu, gelu),
    "log": (dispatch.log, np.log),
}


def floats() -> Array:
    """Give finite floats of every size and sign."""
    values = np.arange(0, 2**32, STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return values[np.isfinite(values)]


def units(y: Array, reference: Array) -> Array:
    """Return errors in units of the reference's last place."""
    _, exponent = np.frexp(reference)
    return np.abs(y - reference) / np.ldexp(1.0, exponent - 24)


def main() -> None:
    x = floats()
    found = {}
    with dispatch.using(packs="portable"), np.errstate(all="ignore"):
        for name, (ours, reference) in FUNCTIONS.items():
            expected = reference(x.astype(np.float64))
            size = np.abs(expected)
            counts = (size >= SMALLEST) & (size <= np.finfo(np.float32).max)
            error = units(ours(x)[counts], expected[counts])
            worst = int(np.argmax(error))
            found[name] = (float(error[worst]), float(x[counts][worst]))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
