"""All kernels here: the operator, the algorithm, the dtypes, and who plans it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from dispatch.answer import No
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.problem import Problem
from kernels.gpu.elementwise import ELEMENTWISE, plan_cast, plan_elementwise, plan_where
from kernels.gpu.movement import (
    plan_concat,
    plan_copy,
    plan_expand,
    plan_gather,
    plan_lookup,
    plan_pad,
    plan_reorder,
    plan_resize,
    plan_slice,
    plan_split,
    plan_transpose,
)
from kernels.gpu.plan import Plan
from kernels.gpu.product import (
    plan_conv2d,
    plan_conv_transpose2d,
    plan_depthwise,
    plan_linear,
    plan_matmul,
)
from kernels.gpu.reduction import (
    plan_argmax,
    plan_batch_norm,
    plan_global_pool2d,
    plan_layer_norm,
    plan_lrn,
    plan_pool2d,
    plan_reduction,
    plan_softmax,
)
from kernels.gpu.traits import Traits

__all__ = ["CATALOGUE", "Algorithm", "Planner"]

Planner: TypeAlias = Callable[[Problem, Traits], Plan | No]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to compute an operator, for several dtypes.

    Parameters
    ----------
    operator, name
        The second and third part of kernels' names.
    dtypes
        The dtypes that it is for: the fourth part.
    plan
        What it enqueues for a problem that is consistent and not too large, in the logical
        layout; or why it can't.
    """

    operator: str
    name: str
    dtypes: tuple[str, ...]
    plan: Planner


NUMBERS = (*FLOATS, *INTEGERS)
ANY_DTYPE = (*NUMBERS, "bool")
PRODUCTS = (*FLOATS, "int32", "int64")
STORED = ("uint8", "int8")

_OTHERS: tuple[tuple[str, str, tuple[str, ...], Planner], ...] = (
    ("argmax", "reduce", NUMBERS, plan_argmax),
    ("avg_pool2d", "window", FLOATS, plan_pool2d),
    ("batch_norm", "map", FLOATS, plan_batch_norm),
    ("cast", "map", ANY_DTYPE, plan_cast),
    ("concat", "move", ANY_DTYPE, plan_concat),
    ("conv2d", "depthwise", FLOATS, plan_depthwise),
    ("conv2d", "implicit_gemm", FLOATS, plan_conv2d),
    ("conv_transpose2d", "direct", FLOATS, plan_conv_transpose2d),
    ("expand", "move", ANY_DTYPE, plan_expand),
    ("gather", "move", ANY_DTYPE, plan_gather),
    ("global_avg_pool2d", "reduce", FLOATS, plan_global_pool2d),
    ("global_max_pool2d", "reduce", (*FLOATS, *STORED), plan_global_pool2d),
    ("layer_norm", "rows", FLOATS, plan_layer_norm),
    ("linear", "gemm", PRODUCTS, plan_linear),
    ("log_softmax", "rows", FLOATS, plan_softmax),
    ("lookup", "map", STORED, plan_lookup),
    ("lrn", "map", FLOATS, plan_lrn),
    ("matmul", "gemm", PRODUCTS, plan_matmul),
    ("max", "reduce", NUMBERS, plan_reduction),
    ("max_pool2d", "window", (*FLOATS, *STORED), plan_pool2d),
    ("mean", "reduce", NUMBERS, plan_reduction),
    ("min", "reduce", NUMBERS, plan_reduction),
    ("pad", "move", ANY_DTYPE, plan_pad),
    ("prod", "reduce", NUMBERS, plan_reduction),
    ("reorder", "move", ANY_DTYPE, plan_reorder),
    ("reshape", "move", ANY_DTYPE, plan_copy),
    ("resize", "gather", FLOATS, plan_resize),
    ("slice", "move", ANY_DTYPE, plan_slice),
    ("softmax", "rows", FLOATS, plan_softmax),
    ("split", "move", ANY_DTYPE, plan_split),
    ("sum", "reduce", NUMBERS, plan_reduction),
    ("transpose", "move", ANY_DTYPE, plan_transpose),
    ("where", "map", ("bool",), plan_where),
)

CATALOGUE: tuple[Algorithm, ...] = (
    *(Algorithm(name, "map", e.dtypes, plan_elementwise) for name, e in ELEMENTWISE.items()),
    *(Algorithm(*row) for row in _OTHERS),
)
