"""Operators that reduce: over axes, along rows, within windows, across channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dispatch.answer import No, NoCode
from dispatch.dtypes import SHORT_NAMES, numpy_dtype
from dispatch.problem import Problem
from dispatch.tensor import NHWC
from kernels.gpu.epilogue import NONE, epilogue_of
from kernels.gpu.plan import Launch, Plan, numeric_defines, parameters
from kernels.gpu.strided import View, collapse, dense_strides
from kernels.gpu.traits import Traits

__all__ = [
    "plan_argmax",
    "plan_batch_norm",
    "plan_global_pool2d",
    "plan_layer_norm",
    "plan_lrn",
    "plan_pool2d",
    "plan_quantized_pool2d",
    "plan_reduction",
    "plan_softmax",
]

RANK = 4
"""Axes of each kind that reductions walk."""
SHORT, MANY = 16, 1024
"""Elements of a row, and rows, for which one work-item a row is enough."""

ALONE = {"BESIDE": "1", "ROW_ITEMS": "1", "SUB_GROUPS": "0"}
"""Macros of src/group.h where each work-item has a row by itself."""

_COMBINE = {
    "sum": ("(a) + (b)", "wrapped_sum(a, b)"),
    "mean": ("(a) + (b)", "wrapped_sum(a, b)"),
    "prod": ("(a) * (b)", "wrapped_product(a, b)"),
    "max": ("larger_of(a, b)",) * 2,
    "min": ("smaller_of(a, b)",) * 2,
}


def _initial(operator: str, dtype: str) -> float:
    if operator in ("sum", "mean"):
        return 0
    if operator == "prod":
        return 1
    sign = -1 if operator == "max" else 1
    if "float" in dtype:
        return sign * math.inf
    limits = np.iinfo(dtype)
    return limits.min if operator == "max" else limits.max


def plan_reduction(problem: Problem, traits: Traits) -> Plan | No:
    """Plan sum, mean, prod, max or min over axes."""
    axes: Any = problem.attribute("axes")
    return _reduce(problem, problem.operator, axes, traits)


def plan_global_pool2d(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the mean or the largest element of each channel."""
    mean = problem.operator == "global_avg_pool2d"
    if problem.outputs[0].layout == NHWC:  # neighbours are channels, each of them for one item
        return _windows(
            problem, traits, mean, 0.0 if mean else _initial("max", problem.dtype), None
        )
    return _reduce(problem, "mean" if mean else "max", (2, 3), traits)


def _reduce(problem: Problem, name: str, axes: Sequence[int], traits: Traits) -> Plan | No:
    dtype = problem.dtype
    floating = "float" in dtype
    mean = "(a)"
    if name == "mean":
        mean = "(a) / (n)" if floating else "(n) == 0 ? 0 : (real)(STORED(COMPUTED))(a) / (real)(n)"
    return _rows(
        problem,
        axes,
        traits,
        _initial(name, dtype),
        {
            "ARGUMENT": "0",
            "COMBINE(a, b)": _COMBINE[name][0 if floating else 1],
            "FINISH(a, n)": mean,
        },
    )


def plan_argmax(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the index of the largest element."""
    axis: Any = problem.attribute("axis")
    last = str(problem.attribute("select_last_index"))
    return _rows(problem, (axis,), traits, 0, {"ARGUMENT": "1", "LAST": last})


def _rows(
    problem: Problem,
    axes: Sequence[int],
    traits: Traits,
    initial: float,
    defines: dict[str, str],
) -> Plan | No:
    x, y = problem.inputs[0], problem.outputs[0]
    assert x is not None
    if y.size == 0:
        return Plan(())
    strides = dense_strides(x.shape)
    kept = [axis for axis in range(x.rank) if axis not in axes]
    parts = [
        collapse([x.shape[a] for a in group], [View(tuple(strides[a] for a in group))])
        for group in (kept, axes)
    ]
    if max(len(extents) for extents, _ in parts) > RANK:
        return No(NoCode.RANK, "axes that don't go together", f"<= {RANK}")
    length = math.prod(x.shape[a] for a in axes)
    (extents, (view,)), _ = parts
    neighbours = extents[-1] if view.strides[-1] == 1 else 1
    beside = traits.beside(neighbours, x.itemsize)
    together = length > SHORT and y.size < _many(traits, neighbours)
    items = traits.row_items if together else traits.map_items
    every = {
        **numeric_defines(x.dtype),
        **defines,
        **(traits.row_defines(beside) if together else ALONE),
        "GROUP_ITEMS": str(items),
        "RANK": str(RANK),
        "TYPE_Y": SHORT_NAMES[y.dtype],
    }
    filled = [
        ((1,) * (RANK - len(extents)) + extents, (0,) * (RANK - len(extents)) + views[0].strides)
        for extents, views in parts
    ]
    launch = Launch(
        "reduce",
        "reduce",
        tuple(sorted(every.items())),
        (0, 1),
        parameters(x.dtype, (initial,), y.size, length, *filled[0], *filled[1]),
        (-(-y.size // (beside if together else items)),),
        (items,),
    )
    return Plan((launch,))


def _many(traits: Traits, neighbours: int) -> float:
    """Return for how many rows one work-item a row is enough.

    On a GPU neighbours have to read neighbours, and there is much to keep busy.
    """
    if traits.is_cpu:
        return MANY
    return MANY * traits.units if neighbours > 1 else math.inf


def plan_softmax(problem: Problem, traits: Traits) -> Plan | No:
    """Plan softmax or its logarithm."""
    x = problem.inputs[0]
    assert x is not None
    axis: Any = problem.attribute("axis")
    if x.size == 0:
        return Plan(())
    length, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    defines = {"LOGARITHM": str(int(problem.operator == "log_softmax"))}
    numbers = (-math.inf, 0.0)
    return _by_rows(
        problem, "softmax", (0, 1), x.size // length, numbers, (length, inner), defines, traits
    )


def plan_layer_norm(problem: Problem, traits: Traits) -> Plan | No:
    """Plan normalisation by each row's mean and variance."""
    x, _, bias = problem.inputs[:3]
    assert x is not None
    if x.size == 0:
        return Plan(())
    axis: Any = problem.attribute("axis")
    epsilon: Any = problem.attribute("epsilon")
    length = math.prod(x.shape[axis:])
    arguments = (0, 1, 3) if bias is None else (0, 1, 2, 3)
    defines = {"HAS_BIAS": str(int(bias is not None)), "LOGARITHM": "0"}
    return _by_rows(
        problem, "layer_norm", arguments, x.size // length, (0.0, epsilon), (length, 1), defines,
        traits,
    )  # fmt: skip


def _by_rows(
    problem: Problem,
    function: str,
    arguments: tuple[int, ...],
    rows: int,
    numbers: tuple[float, float],
    extents: tuple[int, int],
    defines: dict[str, str],
    traits: Traits,
) -> Plan:
    beside = traits.beside(extents[1], numpy_dtype(problem.dtype).itemsize)
    every = {
        **numeric_defines(problem.dtype),
        **traits.row_defines(beside),
        "HAS_BIAS": "0",
        **defines,
    }
    launch = Launch(
        "rows",
        function,
        tuple(sorted(every.items())),
        arguments,
        parameters(problem.dtype, numbers, *extents, rows),
        (-(-rows // beside),),
        (traits.row_items,),
    )
    return Plan((launch,))


def plan_pool2d(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the largest element or the mean of a sliding window."""
    if problem.operator == "avg_pool2d":
        return _windows(problem, traits, True, 0.0, None)
    return _windows(problem, traits, False, _initial("max", problem.dtype), None)


def plan_quantized_pool2d(
    problem: Problem, traits: Traits, scale: float, given: tuple[int, int, int, int]
) -> Plan | No:
    """Plan the mean of quantised elements in a sliding window, or of the whole image.

    Parameters
    ----------
    scale
        x's over y's.
    given
        Both zero points, then y's smallest and largest stored value.
    """
    return _windows(problem, traits, True, scale, given)


def _windows(
    problem: Problem,
    traits: Traits,
    mean: bool,
    initial: float,
    quantized: tuple[int, int, int, int] | None,
) -> Plan | No:
    x, y = problem.inputs[0], problem.outputs[0]
    assert x is not None
    if y.size == 0:
        return Plan(())
    whole = {"kernel_shape": x.shape[2:], "strides": (1, 1), "pads": (0, 0, 0, 0)}
    attributes: dict[str, Any] = {**whole, **dict(problem.attributes)}
    pads = attributes["pads"]
    low, high = (0, 0), x.shape[2:]
    if attributes.get("count_include_pad"):
        low = (-pads[0], -pads[1])
        high = (x.shape[2] + pads[2], x.shape[3] + pads[3])
    numbers = x.dtype if quantized is None else "float32"
    data = parameters(
        numbers,
        (initial,),
        y.size,
        x.shape[1] if x.layout == NHWC else 1,
        x.shape[2:],
        y.shape[2:],
        attributes["kernel_shape"],
        attributes["strides"],
        pads[:2],
        attributes.get("dilations", (1, 1)),
        low,
        high,
        quantized or (),
    )
    defines = {
        "MEAN": str(int(mean)),
        "QUANTIZED": str(int(quantized is not None)),
        "TYPE_NUMBERS": SHORT_NAMES[numbers],
        "TYPE_Y": SHORT_NAMES[y.dtype],
    }
    return _each(problem, "window", (0, 1), data, defines, traits)


def plan_batch_norm(problem: Problem, traits: Traits) -> Plan | No:
    """Plan normalisation by given statistics, and its epilogue."""
    x = problem.inputs[0]
    assert x is not None
    epilogue = epilogue_of(problem)
    if isinstance(epilogue, No) or x.size == 0:
        return epilogue if isinstance(epilogue, No) else Plan(())
    epsilon: Any = problem.attribute("epsilon")
    arguments = (0, 1, 2, 3, 4, *epilogue.arguments, len(problem.inputs))
    numbers = (*epilogue.numbers, epsilon)
    data = parameters(x.dtype, numbers, x.size, x.shape[1], math.prod(x.shape[2:]))
    return _each(problem, "channels", arguments, data, epilogue.defines, traits, "batch_norm")


def plan_lrn(problem: Problem, traits: Traits) -> Plan | No:
    """Plan normalisation by the squares of neighbouring channels."""
    x = problem.inputs[0]
    assert x is not None
    if x.size == 0:
        return Plan(())
    size, alpha, beta, bias = (_number(problem, name) for name in ("size", "alpha", "beta", "bias"))
    data = parameters(
        x.dtype,
        (alpha / size, beta, bias),
        x.size,
        x.shape[1],
        math.prod(x.shape[2:]),
        int(size - 1) // 2,
        int(size) // 2,
    )
    return _each(problem, "channels", (0, 1), data, NONE.defines, traits, "lrn")


def _number(problem: Problem, name: str) -> Any:
    return problem.attribute(name)


def _each(
    problem: Problem,
    source: str,
    arguments: tuple[int, ...],
    data: bytes,
    defines: Any,
    traits: Traits,
    function: str = "",
) -> Plan:
    items, count = traits.map_items, problem.outputs[0].size
    every = {**numeric_defines(problem.dtype), **defines, "GROUP_ITEMS": str(items)}
    launch = Launch(
        source,
        function or source,
        tuple(sorted(every.items())),
        arguments,
        data,
        (-(-count // items),),
        (items,),
    )
    return Plan((launch,))
