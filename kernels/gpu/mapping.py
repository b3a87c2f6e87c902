"""Launches of src/map.h: an expression of up to three inputs, element by element."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dispatch.answer import No, NoCode
from dispatch.dtypes import SHORT_NAMES
from kernels.gpu.plan import Launch, numeric_defines, parameters
from kernels.gpu.strided import View, collapse
from kernels.gpu.traits import Traits

__all__ = ["RANKS", "Operand", "each_element", "map_launch", "too_many_axes"]

RANKS = (1, 2, 4, 8)
"""Axes that the kernels are built for; fewer are filled up."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor of a launch.

    Parameters
    ----------
    argument
        Its buffer, as `kernels.gpu.plan.Launch` names it.
    dtype
        What its elements are taken for.
    view
        Where they lie, for each axis of what is walked.
    """

    argument: int
    dtype: str
    view: View


def too_many_axes(extents: Sequence[int], views: Sequence[View]) -> No | None:
    """Refuse what has more axes than the kernels, when those that go together are joined."""
    rank = len(collapse(extents, views)[0])
    if rank <= RANKS[-1]:
        return None
    return No(NoCode.RANK, "axes that don't go together", f"<= {RANKS[-1]}", str(rank))


def map_launch(
    expression: str,
    extents: Sequence[int],
    inputs: Sequence[Operand],
    output: Operand,
    traits: Traits,
    *,
    computed: str | None = None,
    numbers: tuple[float | int, float | int] = (0, 0),
) -> Launch:
    """Return the launch of an expression of a, b and c, the inputs' elements.

    Parameters
    ----------
    extents
        Of what is walked.
    computed
        The dtype that is computed in; default: the first input's.
    numbers
        What `alpha` and `beta` stand for in the expression.
    """
    tensors = [*inputs, output]
    small, views = collapse(extents, [t.view for t in tensors])
    rank = next(r for r in RANKS if r >= len(small))
    missing = rank - len(small)
    count = math.prod(extents)
    items = traits.map_items
    what = computed or (inputs[0] if inputs else output).dtype
    defines = {
        **numeric_defines(what),
        "EXPRESSION": expression,
        "GROUP_ITEMS": str(items),
        "OPERANDS": str(len(inputs)),
        "RANK": str(rank),
        "TYPE_Y": SHORT_NAMES[output.dtype],
        **{f"TYPE_{n}": SHORT_NAMES[t.dtype] for n, t in zip("ABC", inputs, strict=False)},
    }
    return Launch(
        source="map",
        function="map",
        defines=tuple(sorted(defines.items())),
        arguments=tuple(t.argument for t in tensors),
        parameters=parameters(
            what,
            numbers,
            count,
            (1,) * missing + small,
            [v.offset for v in views],
            [s for v in views for s in (0,) * missing + v.strides],
        ),
        groups=(-(-count // items),),
        items=(items,),
    )


def each_element(
    kernel: str,
    arguments: tuple[int, ...],
    computed: str,
    count: int,
    traits: Traits,
    defines: dict[str, str],
    *values: Any,
    source: str = "",
) -> Launch:
    """Return a launch with a work-item for each of `count` elements.

    Parameters
    ----------
    values
        What the kernel's struct has beside the count.
    source
        The file that has the kernel, if it is called otherwise.
    """
    items = traits.map_items
    every = {**numeric_defines(computed), "GROUP_ITEMS": str(items), **defines}
    return Launch(
        source or kernel,
        kernel,
        tuple(sorted(every.items())),
        arguments,
        parameters("int32", (), count, *values),
        (-(-count // items),),
        (items,),
    )
