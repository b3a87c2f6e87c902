"""NumPy's ufuncs on traced arrays: which operators each of them is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import dispatch
from dispatch.dtypes import dtype_name
from runtime.errors import TraceError

if TYPE_CHECKING:
    from runtime.tracer import Tracer

__all__ = ["call_ufunc", "cast", "refuse", "unify"]


def refuse(tracer: Tracer, what: str, why: str) -> TraceError:
    """Return the error for a NumPy call that can't be recorded."""
    return TraceError(f"{tracer.recorder.label()}: numpy.{what} on a traced array: {why}")


def call_ufunc(
    tracer: Tracer, ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Record a ufunc's call (``method`` "__call__") or reduction ("reduce").

    Raises
    ------
    TraceError
        For a ufunc, a method or an argument that no operator stands for.
    """
    name = ufunc.__name__
    given = {k: v for k, v in kwargs.items() if v is not None and not _is_default(k, v)}
    if "out" in given:
        raise refuse(tracer, name, "out= and changes in place can't be recorded")
    if method == "reduce" and name in _REDUCTIONS:
        return _reduce(tracer, name, inputs, given)
    if method != "__call__":
        raise refuse(tracer, f"{name}.{method}", "no operator stands for it")
    dtype = given.pop("dtype", None)
    if given:
        raise refuse(tracer, name, f"the argument {', '.join(given)} can't be recorded")
    rule = _UFUNCS.get(name)
    if rule is None:
        raise refuse(
            tracer,
            name,
            f"no operator stands for it; these are known: {', '.join(sorted(_UFUNCS))}",
        )
    try:
        if dtype is not None:
            inputs = tuple(cast(x, np.dtype(dtype)) for x in inputs)
        return rule(*inputs)
    except _NotServed as error:
        raise refuse(tracer, name, str(error)) from None


def _is_default(name: str, value: Any) -> bool:
    defaults = {"casting": "same_kind", "order": "K", "subok": True, "where": True}
    return name in defaults and value is defaults[name]


class _NotServed(Exception):
    """The operands are of a kind that no operator serves."""


def cast(x: Any, dtype: np.dtype[Any]) -> Any:
    """Return `x`, a traced array or another, in a dtype."""
    if isinstance(x, (bool, int, float)):
        return np.asarray(x, dtype)
    if x.dtype == dtype:
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(x).astype(dtype)
    name = dtype_name(dtype)
    if name is None:
        raise _NotServed(f"dtype {dtype} isn't served")
    return dispatch.cast(x, name)


def unify(*inputs: Any) -> tuple[Any, ...]:
    """Return operands in the one dtype that NumPy's promotion gives them."""
    if any(isinstance(x, (complex, str, bytes, list, tuple)) for x in inputs):
        inputs = tuple(np.asarray(x) if isinstance(x, (list, tuple)) else x for x in inputs)
    try:
        dtype = np.result_type(
            *(x if isinstance(x, (bool, int, float, complex)) else x.dtype for x in inputs)
        )
    except (AttributeError, TypeError):
        raise _NotServed(f"expected arrays and numbers, got {inputs!r}") from None
    return tuple(cast(x, dtype) for x in inputs)


def _kind(x: Any) -> str:
    dtype = np.asarray(x).dtype if isinstance(x, (bool, int, float)) else x.dtype
    return "f" if "float" in str(dtype) else str(dtype.kind)


def _floating(x: Any) -> Any:
    """Return an operand of a function that NumPy has for floating dtypes alone."""
    if _kind(x) == "f":
        return x
    small = x.dtype.itemsize == 1
    return cast(
        x, np.dtype(np.float16 if small else np.float32 if x.dtype.itemsize == 2 else float)
    )


def _unary(operator: str) -> Callable[[Any], Any]:
    return lambda x: getattr(dispatch, operator)(x)


def _float_unary(operator: str) -> Callable[[Any], Any]:
    return lambda x: getattr(dispatch, operator)(_floating(x))


def _binary(operator: str) -> Callable[[Any, Any], Any]:
    return lambda a, b: getattr(dispatch, operator)(*unify(a, b))


def _arithmetic(operator: str, for_bool: str | None) -> Callable[[Any, Any], Any]:
    def run(a: Any, b: Any) -> Any:
        a, b = unify(a, b)
        if _kind(a) != "b":
            return getattr(dispatch, operator)(a, b)
        if for_bool is None:
            raise _NotServed("NumPy has no such operation on bool")
        return getattr(dispatch, for_bool)(a, b)

    return run


def _rounding(operator: str, name: str) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        if _kind(x) == "f":
            return getattr(dispatch, operator)(x)
        # Whether integers stay integers depends on the function and on NumPy's version.
        return cast(x, getattr(np, name)(np.ones((), x.dtype)).dtype)

    return run


def _divide(a: Any, b: Any) -> Any:
    a, b = unify(a, b)
    return dispatch.div(_floating(a), _floating(b))


def _floor_divide(a: Any, b: Any) -> Any:
    a, b = unify(a, b)
    if _kind(a) == "f":
        return dispatch.floor(dispatch.div(a, b))
    # Both remainders are the same where cutting off toward zero rounds down.
    is_above = dispatch.not_equal(dispatch.mod(a, b), dispatch.fmod(a, b))
    return dispatch.sub(dispatch.div(a, b), cast(is_above, a.dtype))


def _matmul(a: Any, b: Any) -> Any:
    return dispatch.matmul(*unify(a, b))


def _logical(operator: str) -> Callable[..., Any]:
    def truth(x: Any) -> Any:
        if isinstance(x, (bool, int, float)):
            return np.asarray(bool(x))
        return x if x.dtype == bool else dispatch.not_equal(x, np.zeros((), x.dtype))

    return lambda *inputs: getattr(dispatch, operator)(*map(truth, inputs))


def _bitwise(operator: str) -> Callable[..., Any]:
    def run(*inputs: Any) -> Any:
        inputs = unify(*inputs)
        if _kind(inputs[0]) != "b":
            raise _NotServed("no operator works on the bits of integers")
        return getattr(dispatch, operator)(*inputs)

    return run


_UFUNCS: Mapping[str, Callable[..., Any]] = {
    "add": _arithmetic("add", "logical_or"),
    "subtract": _arithmetic("sub", None),
    "multiply": _arithmetic("mul", "logical_and"),
    "divide": _divide,
    "true_divide": _divide,
    "floor_divide": _floor_divide,
    "remainder": _arithmetic("mod", None),
    "fmod": _arithmetic("fmod", None),
    "power": _arithmetic("pow", None),
    "float_power": lambda a, b: dispatch.pow(*unify(cast(a, np.dtype(float)), b)),
    "matmul": _matmul,
    "maximum": _arithmetic("maximum", "logical_or"),
    "minimum": _arithmetic("minimum", "logical_and"),
    "equal": _binary("equal"),
    "not_equal": _binary("not_equal"),
    "less": _binary("less"),
    "less_equal": _binary("less_equal"),
    "greater": _binary("greater"),
    "greater_equal": _binary("greater_equal"),
    "logical_and": _logical("logical_and"),
    "logical_or": _logical("logical_or"),
    "logical_xor": _logical("logical_xor"),
    "logical_not": _logical("logical_not"),
    "bitwise_and": _bitwise("logical_and"),
    "bitwise_or": _bitwise("logical_or"),
    "bitwise_xor": _bitwise("logical_xor"),
    "invert": _bitwise("logical_not"),
    "exp": _float_unary("exp"),
    "log": _float_unary("log"),
    "sqrt": _float_unary("sqrt"),
    "tanh": _float_unary("tanh"),
    "arctan": _float_unary("atan"),
    "sin": _float_unary("sin"),
    "cos": _float_unary("cos"),
    "reciprocal": _unary("reciprocal"),
    "absolute": _unary("abs"),
    "fabs": _float_unary("abs"),
    "negative": _unary("neg"),
    "positive": lambda x: x,
    "conjugate": lambda x: x,
    "sign": _unary("sign"),
    "floor": _rounding("floor", "floor"),
    "ceil": _rounding("ceil", "ceil"),
    "rint": _rounding("round", "rint"),
    "trunc": lambda x: dispatch.mul(dispatch.sign(x), dispatch.floor(dispatch.abs(x))),
    "square": lambda x: dispatch.mul(x, x),
    "isnan": lambda x: dispatch.not_equal(x, x),
    "clip": lambda x, low, high: dispatch.minimum(*unify(dispatch.maximum(*unify(x, low)), high)),
}

_REDUCTIONS: Mapping[str, str] = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
}


def _reduce(tracer: Tracer, name: str, inputs: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
    operator = _REDUCTIONS[name]
    # NumPy's own default of a ufunc's reduction is the first axis.
    known = {"axis": 0, "keepdims": False, **given}
    extra = set(known) - {"axis", "keepdims"}
    if extra:
        raise refuse(tracer, f"{name}.reduce", f"the argument {', '.join(extra)} can't be recorded")
    return getattr(np, operator)(*inputs, axis=known["axis"], keepdims=known["keepdims"])
