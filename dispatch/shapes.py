"""Checks and small shape arithmetic that the operators share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, SupportsFloat, SupportsIndex

from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.tensor import TensorSpec

__all__ = [
    "broadcast",
    "check_count",
    "check_dtype",
    "check_rank",
    "check_same_dtype",
    "check_shape",
    "choice",
    "flag",
    "integer",
    "integers",
    "normalize_axes",
    "normalize_axis",
    "output",
    "real",
    "window_output",
    "window_pads",
]

LARGEST = 2**62
MOST_TENSORS = 1024
"""Inputs or outputs of one problem, as the core counts them (`CORE_MAX_TENSORS`)."""
"""Bytes: what is larger can't be addressed, and its arithmetic would overflow."""


def output(operator: str, dtype: str, shape: Sequence[int], name: str = "result") -> TensorSpec:
    """Return the spec of an output, if its size in bytes is one that can be counted."""
    spec = TensorSpec(dtype, tuple(shape))
    # Extents of 0 don't excuse the others: strides are products of them.
    if math.prod(max(extent, 1) for extent in shape) * spec.itemsize > LARGEST:
        raise InvalidArgument(
            f"{operator}: {name}: expected at most 2**62 bytes, got shape {spec.shape} of {dtype}"
        )
    return spec


def flag(operator: str, name: str, value: Any) -> int:
    """Return a truth value as 0 or 1."""
    if isinstance(value, (str, bytes)) or value not in (0, 1):
        raise InvalidArgument(f"{operator}: {name}: expected True or False, got {value!r}")
    return int(value)


def real(operator: str, name: str, value: Any) -> float:
    """Return a number as a float; NaN is none."""
    if isinstance(value, (str, bytes, bool)) or not isinstance(value, SupportsFloat):
        raise InvalidArgument(f"{operator}: {name}: expected a number, got {value!r}")
    number = float(value)
    if math.isnan(number):
        raise InvalidArgument(f"{operator}: {name}: expected a number, got NaN")
    return number


def choice(operator: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """Return `value`, one of `choices`."""
    if value not in choices:
        raise InvalidArgument(
            f"{operator}: {name}: expected {' or '.join(map(repr, choices))}, got {value!r}"
        )
    return str(value)


def integer(operator: str, name: str, value: Any, minimum: int | None = None) -> int:
    """Return `value` as an int, at least `minimum`."""
    if type(value) is int:  # by far the most frequent, and a protocol's check is slow
        number = value
    elif isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise InvalidArgument(f"{operator}: {name}: expected an integer, got {value!r}")
    else:
        number = value.__index__()
    if minimum is not None and number < minimum:
        raise InvalidArgument(f"{operator}: {name}: expected at least {minimum}, got {number}")
    return number


def integers(
    operator: str, name: str, value: Any, count: int | None = None, minimum: int | None = None
) -> tuple[int, ...]:
    """Return `value`, an integer (repeated `count` times) or a sequence of them, as a tuple."""
    if isinstance(value, SupportsIndex) and not hasattr(value, "__len__") and count is not None:
        return (integer(operator, name, value, minimum),) * count
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        wanted = f"an integer or {count} of them" if count is not None else "integers"
        raise InvalidArgument(f"{operator}: {name}: expected {wanted}, got {value!r}")
    result = tuple(integer(operator, name, entry, minimum) for entry in value)
    if count is not None and len(result) != count:
        raise InvalidArgument(f"{operator}: {name}: expected {count} entries, got {len(result)}")
    return result


def check_count(operator: str, name: str, count: int) -> None:
    """Raise unless there are as many arrays as one problem may have."""
    if count > MOST_TENSORS:
        raise InvalidArgument(
            f"{operator}: {name}: expected at most {MOST_TENSORS} arrays, got {count}"
        )


def check_rank(operator: str, name: str, tensor: TensorSpec, rank: int) -> None:
    """Raise unless the tensor has `rank` dimensions."""
    if tensor.rank != rank:
        raise InvalidArgument(
            f"{operator}: {name}: expected {rank} dimensions, got {tensor.rank} {tensor.shape}"
        )


def check_shape(operator: str, name: str, tensor: TensorSpec, shape: Sequence[int]) -> None:
    """Raise unless the tensor is of a shape that follows from other arguments."""
    if tensor.shape != tuple(shape):
        raise InvalidArgument(
            f"{operator}: {name}: expected shape {tuple(shape)}, got {tensor.shape}"
        )


def check_dtype(operator: str, name: str, tensor: TensorSpec, dtypes: Sequence[str]) -> None:
    """Raise unless the tensor's dtype is one of `dtypes`."""
    if tensor.dtype not in dtypes:
        raise UnsupportedDtype(
            f"{operator}: {name}: expected dtype {' or '.join(dtypes)}, got {tensor.dtype}"
        )


def check_same_dtype(operator: str, first: str, tensor: TensorSpec, **others: TensorSpec) -> None:
    """Raise unless each of `others` has the dtype of `tensor`, which is called `first`."""
    for name, other in others.items():
        if other.dtype != tensor.dtype:
            raise UnsupportedDtype(
                f"{operator}: {name}: expected dtype {tensor.dtype} as {first} has, "
                f"got {other.dtype}"
            )


def broadcast(operator: str, **shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that NumPy's rules broadcast `shapes` to."""
    rank = max(map(len, shapes.values()))
    result = [1] * rank
    for name, shape in shapes.items():
        for axis, extent in enumerate(shape, rank - len(shape)):
            if result[axis] == 1:
                result[axis] = extent
            elif extent not in (1, result[axis]):
                raise InvalidArgument(
                    f"{operator}: {name}: shape {shape} doesn't broadcast with "
                    + " and ".join(f"{k} {v}" for k, v in shapes.items() if k != name)
                )
    return tuple(result)


def normalize_axis(operator: str, name: str, axis: Any, rank: int) -> int:
    """Return a non-negative axis of `rank` dimensions."""
    number = integer(operator, name, axis)
    if not -rank <= number < rank:
        raise InvalidArgument(
            f"{operator}: {name}: expected an axis from {-rank} to {rank - 1}, got {number}"
        )
    return number % rank


def normalize_axes(operator: str, name: str, axes: Any, rank: int) -> tuple[int, ...]:
    """Return sorted non-negative axes, all of them for None."""
    if axes is None:
        return tuple(range(rank))
    entries = axes if hasattr(axes, "__iter__") else (axes,)
    result = sorted(normalize_axis(operator, name, axis, rank) for axis in entries)
    if len(set(result)) != len(result):
        raise InvalidArgument(f"{operator}: {name}: expected different axes, got {axes!r}")
    return tuple(result)


def window_pads(
    operator: str,
    pads: Any,
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[int, ...]:
    """Return explicit padding (top, left, bottom, right) of a 2-D window.

    `pads` is a number for all four sides, two (vertical, horizontal), four
    (top, left, bottom, right: ONNX's order), ``"valid"``, ``"same"``
    (ONNX's SAME_UPPER: the odd one below and right) or ``"same_lower"``.
    """
    if isinstance(pads, str):
        if pads == "valid":
            return (0, 0, 0, 0)
        if pads not in ("same", "same_lower"):
            raise InvalidArgument(
                f"{operator}: pads: expected 'same', 'same_lower', 'valid' or numbers, got {pads!r}"
            )
        begin, end = [], []
        for extent, size, stride, dilation in zip(extents, kernel, strides, dilations, strict=True):
            total = max(0, (-(-extent // stride) - 1) * stride + (size - 1) * dilation + 1 - extent)
            small = total // 2
            begin.append(small if pads == "same" else total - small)
            end.append(total - begin[-1])
        return (*begin, *end)
    if hasattr(pads, "__len__") and len(pads) == 2:
        return integers(operator, "pads", (*pads, *pads), 4, 0)
    return integers(operator, "pads", pads, 4, 0)


def window_output(
    operator: str,
    extents: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    ceil_mode: bool = False,
) -> tuple[int, int]:
    """Return the output's height and width of a sliding 2-D window.

    With `ceil_mode` a last window that starts inside the input or its leading
    padding counts, as ONNX has it.
    """
    result = []
    for axis, name in enumerate(("height", "width")):
        padded = extents[axis] + pads[axis] + pads[axis + 2]
        span = (kernel[axis] - 1) * dilations[axis] + 1
        if padded < span:
            raise InvalidArgument(
                f"{operator}: x: expected a padded {name} of at least the window's {span}, "
                f"got {padded}"
            )
        steps = padded - span
        count = (-(-steps // strides[axis]) if ceil_mode else steps // strides[axis]) + 1
        if ceil_mode and (count - 1) * strides[axis] >= extents[axis] + pads[axis]:
            count -= 1
        result.append(count)
    return result[0], result[1]
