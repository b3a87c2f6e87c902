"""NumPy's functions and arrays' methods on traced arrays: which operators each of them is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import dispatch
from runtime.errors import TraceError
from runtime.indexing import drop_axes, insert_axes, integer_vector
from runtime.tracer import Tracer, shape_of
from runtime.ufuncs import cast, refuse, unify

__all__ = ["call_function", "method"]


def call_function(
    tracer: Tracer, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Record the call of one of NumPy's functions.

    Raises
    ------
    TraceError
        For a function, or an argument of it, that no operator stands for.
    """
    name = function.__name__
    known = _FUNCTIONS.get(name)
    module = getattr(function, "__module__", "numpy")
    if known is None or module != "numpy":
        full = f"{module.removeprefix('numpy').lstrip('.')}.{name}".lstrip(".")
        raise refuse(tracer, full, "no operator stands for it")
    if kwargs.get("out") is not None:
        raise refuse(tracer, name, "out= and changes in place can't be recorded")
    given = {k: v for k, v in kwargs.items() if v is not None and v is not np._NoValue}
    given.pop("out", None)
    try:
        return known(*args, **given)
    except TypeError as error:
        if isinstance(error, TraceError) or "argument" not in str(error):
            raise
        raise refuse(tracer, name, f"these arguments can't be recorded: {error}") from error


def method(tracer: Tracer, name: str) -> Any:
    """Return an array's attribute or method by its name."""
    if name == "T":
        return _transpose(tracer)
    if name == "mT":
        return _swapaxes(tracer, -1, -2)
    known = _METHODS.get(name)
    if known is not None:
        return lambda *args, **kwargs: known(tracer, *args, **kwargs)
    if name in ("item", "tolist", "tobytes", "data", "tofile", "flat", "ctypes", "strides", "base"):
        raise TraceError(
            f"{tracer.recorder.label()}: .{name} of a traced array: its elements and memory "
            f"aren't known while a function is traced"
        )
    # AttributeError, so that hasattr() and protocols' look-ups work as for any other object.
    raise AttributeError(
        f"{tracer.recorder.label()}: a traced array has no {name!r}: no operator stands for it"
    )


def _axes(axis: Any) -> Any:
    return axis if axis is None or isinstance(axis, int) else tuple(axis)


def _summable(a: Any) -> Any:
    """Return integers of the width that NumPy adds them up in; other elements as they are."""
    if a.dtype.kind not in "biu" or a.dtype.itemsize == 8:
        return a
    return cast(a, np.dtype(np.uint64 if a.dtype.kind == "u" else np.int64))


def _reduction(operator: str, floating: bool = False) -> Callable[..., Any]:
    def run(a: Any, axis: Any = None, dtype: Any = None, keepdims: Any = False) -> Any:
        if dtype is not None:
            a = cast(a, np.dtype(dtype))
        elif operator in ("sum", "prod"):
            a = _summable(a)
        elif floating and a.dtype.kind in "biu":
            a = cast(a, np.dtype(float))
        return getattr(dispatch, operator)(a, _axes(axis), keepdims=bool(keepdims))

    return run


def _cumsum(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    a = _summable(a) if dtype is None else cast(a, np.dtype(dtype))
    if axis is None:
        a, axis = dispatch.reshape(a, (-1,)), 0
    return dispatch.cumsum(a, axis)


def _argmax(a: Any, axis: Any = None, keepdims: Any = False) -> Any:
    if axis is None:
        a, axis = dispatch.reshape(a, (-1,)), 0
    return dispatch.argmax(a, axis, keepdims=bool(keepdims))


def _variance(a: Any, axis: Any = None, ddof: int = 0, keepdims: Any = False) -> Any:
    if ddof != 0:
        raise TypeError("argument ddof: only 0 is served")
    a = cast(a, np.dtype(float)) if a.dtype.kind in "biu" else a
    apart = a - dispatch.mean(a, _axes(axis), keepdims=True)
    return dispatch.mean(apart * apart, _axes(axis), keepdims=bool(keepdims))


def _transpose(a: Any, *axes: Any) -> Any:
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
        axes = tuple(axes[0] or ())
    rank = a.ndim
    order = tuple(axis % rank for axis in axes) if axes else tuple(reversed(range(rank)))
    return dispatch.transpose(a, order)


def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    order = list(range(a.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return dispatch.transpose(a, tuple(order))


def _moveaxis(a: Any, source: Any, destination: Any) -> Any:
    rank = a.ndim
    sources = [s % rank for s in (source if isinstance(source, (tuple, list)) else (source,))]
    places = [
        d % rank
        for d in (destination if isinstance(destination, (tuple, list)) else (destination,))
    ]
    order = [axis for axis in range(rank) if axis not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return dispatch.transpose(a, tuple(order))


def _reshape(a: Any, *shape: Any, order: str = "C") -> Any:
    if order != "C":
        raise TypeError("argument order: only 'C' is served")
    wanted = shape[0] if len(shape) == 1 else shape
    if isinstance(wanted, Tracer) and wanted.ndim == 0:
        wanted = (wanted,)
    if isinstance(wanted, (int, np.integer)):
        wanted = (wanted,)
    if isinstance(wanted, (tuple, list)):
        if any(isinstance(e, (int, np.integer)) and e == 0 for e in wanted):
            # NumPy's 0 is an extent of 0, the operator's is "as the input's".
            return dispatch.reshape(a, integer_vector(wanted), allow_zero=True)
        wanted = integer_vector(wanted)
    return dispatch.reshape(a, wanted)


def _squeeze(a: Any, axis: Any = None) -> Any:
    if axis is None:
        axis = [i for i, extent in enumerate(a.shape) if extent == 1]
    axes = [axis] if isinstance(axis, int) else list(axis)
    for i in axes:
        if a.spec.shape[i] != 1:
            raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return drop_axes(a, axes)


def _expand_dims(a: Any, axis: Any) -> Any:
    return insert_axes(a, [axis] if isinstance(axis, int) else list(axis))


def _concatenate(arrays: Sequence[Any], axis: Any = 0, dtype: Any = None) -> Any:
    parts = list(arrays)
    parts = [cast(p, np.dtype(dtype)) for p in parts] if dtype is not None else list(unify(*parts))
    if axis is None:
        parts, axis = [dispatch.reshape(p, (-1,)) for p in parts], 0
    return dispatch.concat(parts, axis=axis)


def _stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    parts = [
        insert_axes(p, [axis]) if isinstance(p, Tracer) else np.expand_dims(p, axis)
        for p in unify(*arrays)
    ]
    return dispatch.concat(parts, axis=axis)


def _split(a: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    extent = a.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        count = int(indices_or_sections)
        if extent % count:
            raise ValueError("array split does not result in an equal division")
        sizes = (extent // count,) * count
    else:
        edges = [0, *(min(max(i + extent if i < 0 else i, 0), extent) for i in indices_or_sections)]
        sizes = tuple(max(b - a, 0) for a, b in zip(edges, [*edges[1:], extent], strict=True))
        if sum(sizes) != extent:
            raise TypeError("argument indices: expected increasing positions")
    made = dispatch.split(a, axis=axis, sizes=sizes)
    return list(made) if isinstance(made, tuple) else [made]


def _pad(a: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    widths = np.broadcast_to(np.asarray(pad_width, np.int64), (a.ndim, 2))
    pads = (*widths[:, 0].tolist(), *widths[:, 1].tolist())
    if not isinstance(constant_values, (bool, int, float)):
        raise TypeError("argument constant_values: only one number is served")
    return dispatch.pad(a, pads, mode=mode, value=float(constant_values))


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None or y is None:
        raise TypeError("argument x, y: without them the result's shape follows from elements")
    if condition.dtype != bool:
        condition = condition != np.zeros((), condition.dtype)
    return dispatch.where(condition, *unify(x, y))


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    numbers = (int, float, np.integer, np.floating, type(None))
    if a.dtype.kind != "b" and isinstance(low, numbers) and isinstance(high, numbers):
        whole = all(n is None or n == int(n) for n in (low, high))
        if "float" in str(a.dtype) or whole:
            return dispatch.clip(
                a,
                -float("inf") if low is None else float(low),
                float("inf") if high is None else float(high),
            )
    result = a if low is None else np.maximum(a, low)
    return result if high is None else np.minimum(result, high)


def _take(a: Any, indices: Any, axis: Any = None) -> Any:
    if axis is None:
        a, axis = dispatch.reshape(a, (-1,)), 0
    if not isinstance(indices, Tracer):
        indices = np.asarray(indices, np.int64)
    return dispatch.gather(a, indices, axis=axis)


def _broadcast_to(a: Any, shape: Any) -> Any:
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    wanted = integer_vector(shape) if isinstance(shape, (tuple, list)) else shape
    if isinstance(a, Tracer):
        return dispatch.expand(a, wanted)
    expand = dispatch.operators()["expand"]
    return wanted.recorder.record(expand, (a,), {"shape": wanted}, ())


def _flip(a: Any, axis: Any = None) -> Any:
    axes = range(a.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    index: list[Any] = [slice(None)] * a.ndim
    for i in axes:
        index[i] = slice(None, None, -1)
    return a[tuple(index)]


def _roll(a: Any, shift: int, axis: int) -> Any:
    index: list[Any] = [slice(None)] * a.ndim
    first, second = index.copy(), index.copy()
    cut = -shift if shift else None
    first[axis], second[axis] = slice(cut, None), slice(None, cut)
    return dispatch.concat([a[tuple(first)], a[tuple(second)]], axis=axis) if shift else a


def _full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    value = np.asarray(fill_value, a.dtype if dtype is None else np.dtype(dtype))
    expand = dispatch.operators()["expand"]
    return a.recorder.record(expand, (value,), {"shape": shape_of(a)}, ())


def _astype(a: Any, dtype: Any, copy: Any = True) -> Any:
    return cast(a, np.dtype(dtype))


def _round(a: Any, decimals: int = 0) -> Any:
    if decimals:
        raise TypeError("argument decimals: only 0 is served")
    return np.rint(a)


def _dot(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        # Unlike its ufuncs, NumPy's dot takes a number for a float64.
        both: list[Any] = [x if isinstance(x, Tracer) else np.asarray(x) for x in (a, b)]
        return np.multiply(*both)
    if a.ndim > 2 or b.ndim > 2:
        raise TypeError("argument b: at most 2 dimensions are served; use numpy.matmul")
    return np.matmul(a, b)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sum": _reduction("sum"),
    "mean": _reduction("mean", floating=True),
    "prod": _reduction("prod"),
    "max": _reduction("max"),
    "amax": _reduction("max"),
    "min": _reduction("min"),
    "amin": _reduction("min"),
    "argmax": _argmax,
    "cumsum": _cumsum,
    "var": _variance,
    "std": lambda *args, **kwargs: dispatch.sqrt(_variance(*args, **kwargs)),
    "transpose": _transpose,
    "permute_dims": _transpose,
    "swapaxes": _swapaxes,
    "moveaxis": _moveaxis,
    "matrix_transpose": lambda a: _swapaxes(a, -1, -2),
    "reshape": _reshape,
    "ravel": lambda a, order="C": _reshape(a, -1, order=order),
    "squeeze": _squeeze,
    "expand_dims": _expand_dims,
    "concatenate": _concatenate,
    "concat": _concatenate,
    "stack": _stack,
    "split": _split,
    "pad": _pad,
    "where": _where,
    "clip": _clip,
    "take": _take,
    "broadcast_to": _broadcast_to,
    "flip": _flip,
    "roll": _roll,
    "zeros_like": lambda a, dtype=None: _full_like(a, 0, dtype),
    "ones_like": lambda a, dtype=None: _full_like(a, 1, dtype),
    "full_like": _full_like,
    "copy": lambda a: a,
    "astype": _astype,
    "round": _round,
    "around": _round,
    "dot": _dot,
    "shape": lambda a: a.shape,
    "size": lambda a, axis=None: a.size if axis is None else a.shape[axis],
    "ndim": lambda a: a.ndim,
    "iscomplexobj": lambda a: False,
    "isrealobj": lambda a: True,
}

_METHODS: Mapping[str, Callable[..., Any]] = {
    **{
        name: _FUNCTIONS[name]
        for name in (
            "sum", "mean", "prod", "max", "min", "argmax", "cumsum", "var", "std", "transpose",
            "swapaxes", "reshape", "ravel", "squeeze", "clip", "take", "copy", "astype", "round",
            "dot",
        )
    },
    "flatten": _FUNCTIONS["ravel"],
    "conj": lambda a: a,
}  # fmt: skip
