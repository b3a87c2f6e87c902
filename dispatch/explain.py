"""Why a call goes where it goes: the decision as data and as a table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dispatch.answer import No, Yes
from dispatch.arguments import freeze, numpy_inputs
from dispatch.call import decide
from dispatch.constant import DeviceConstant
from dispatch.context import active
from dispatch.device_call import decide_on_device, device_place
from dispatch.errors import InvalidArgument
from dispatch.memory import place_of
from dispatch.operator import Operator
from dispatch.operators import functions
from dispatch.quantized import QuantizedArray
from dispatch.selection import Decision

__all__ = ["Explanation", "explain"]


class Explanation:
    """A call's decision; prints as a table.

    Attributes
    ----------
    decision : Decision
        The chosen kernel and every other candidate with its answer.
    """

    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain data, for JSON."""
        decision = self.decision
        return {
            "problem": decision.problem.to_dict(),
            "kernel": decision.kernel.name,
            "fallback": decision.fallback,
            "candidates": [
                {
                    "kernel": c.kernel.name,
                    "source": c.kernel.source,
                    "answer": "yes",
                    "cost": c.answer.cost,
                    "seconds": c.seconds,
                    "scratch_bytes": c.answer.scratch_bytes,
                }
                if isinstance(c.answer, Yes)
                else {
                    "kernel": c.kernel.name,
                    "source": c.kernel.source,
                    "answer": "no",
                    "code": c.answer.code.name,
                    "reason": str(c.answer),
                }
                for c in decision.candidates
            ],
            "unavailable": dict(decision.unavailable),
        }

    def __str__(self) -> str:
        decision = self.decision
        measured = any(c.seconds is not None for c in decision.candidates)
        rows = [("", "kernel", "answer", "expected µs", "measured µs" if measured else "")]
        for c in decision.candidates:
            mark = "→" if c.kernel is decision.kernel else ""
            if isinstance(c.answer, Yes):
                time = _microseconds(c.seconds)
                rows.append((mark, c.kernel.name, "yes", _microseconds(c.answer.cost), time))
            elif isinstance(c.answer, No):
                answer = f"no, {c.answer.code.name}: {c.answer}"
                rows.append((mark, c.kernel.name, answer, "", ""))
        rows += [
            ("", name, f"unavailable: {reason}", "", "") for name, reason in decision.unavailable
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = [str(decision.problem)]
        lines += [
            "  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip()
            for r in rows
        ]
        lines.append(f"bench run --problem '{decision.problem.to_json()}'")
        return "\n".join(lines)

    __repr__ = __str__


def _microseconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e6:.1f}" if math.isfinite(seconds) else "failed"


def explain(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    """Say which kernel a call would get, and why not the others, without running it.

    Parameters
    ----------
    function
        An operator's public function, as ``dispatch.conv2d``.
    *args, **kwargs
        What the call would be given.

    Returns
    -------
    Explanation
        Prints as a table; `Explanation.decision` and `Explanation.to_dict` are its data.

    Raises
    ------
    InvalidArgument
        If `function` is no operator, or the arguments don't fit it.
    NoKernel
        If nothing serves the call; the message has every reason.
    """
    if function not in functions().values():
        raise InvalidArgument(
            f"function: expected an operator's function such as dispatch.conv2d, got {function!r}"
        )
    try:
        function(*map(_probe, args), **{name: _probe(value) for name, value in kwargs.items()})
    except _Decided as decided:
        return Explanation(decided.decision)
    raise InvalidArgument(f"function: {function.__name__} called no operator on the arrays given")


class _Decided(Exception):
    """Carries the decision out of the call that was not run."""

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.decision = decision


class _Probe:
    """Stands for an array in a call that is explained instead of run."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)

    @classmethod
    def __dispatch_operator__(
        cls,
        operator: Operator,
        inputs: tuple[Any, ...],
        attributes: tuple[Any, ...],
        out: Any,
        steps: tuple[tuple[str, float, float], ...],
    ) -> None:
        arrays = tuple(x.array if isinstance(x, _Probe) else x for x in inputs)
        place = device_place(arrays)
        if place is not None:
            raise _Decided(
                decide_on_device(place, operator, arrays, freeze(attributes), steps, active())
            )
        raise _Decided(
            decide(operator, numpy_inputs(operator, arrays), freeze(attributes), steps, active())
        )


def _probe(value: Any) -> Any:
    is_array = (
        hasattr(value, "__dlpack__")
        or isinstance(value, (QuantizedArray, DeviceConstant))
        or place_of(value) is not None
    )
    return _Probe(value) if is_array else value
