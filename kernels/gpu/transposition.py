"""Launches of src/transposition.h: moves after which other elements lie beside each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dispatch.dtypes import SHORT_NAMES
from kernels.gpu.mapping import Operand
from kernels.gpu.plan import Launch, numeric_defines, parameters
from kernels.gpu.strided import collapse
from kernels.gpu.traits import Traits

__all__ = ["transposition_launch"]

TILE = 32
"""Rows and columns that a group moves; items of a group are a multiple."""
SMALL = 16
"""Rows or columns from which on tiles are worth their while."""
RANK = 4
"""Axes beside the two."""


def transposition_launch(
    extents: Sequence[int], source: Operand, target: Operand, traits: Traits
) -> Launch | None:
    """Return the launch of a move by tiles, or None where a plain move is as good.

    That is on CPUs, where local memory is no nearer than any other; where the same axis lies
    innermost in both, or none does; and where tiles would be mostly empty.
    """
    items = min(traits.max_items, 256) // TILE * TILE
    if traits.is_cpu or not items:
        return None
    small, (x, y) = collapse(extents, (source.view, target.view))
    inner = [strides.index(1) if 1 in strides else None for strides in (x.strides, y.strides)]
    if None in inner or inner[0] == inner[1]:
        return None
    column, row = (axis for axis in inner if axis is not None)
    others = [axis for axis in range(len(small)) if axis not in inner]
    if min(small[row], small[column]) < SMALL or len(others) > RANK:
        return None
    missing = RANK - len(others)
    rows, columns = small[row], small[column]
    images = math.prod(small[axis] for axis in others)
    defines = {
        **numeric_defines(source.dtype),
        "GROUP_ITEMS": str(items),
        "RANK": str(RANK),
        "TYPE_A": SHORT_NAMES[source.dtype],
        "TYPE_Y": SHORT_NAMES[target.dtype],
    }
    return Launch(
        "transposition",
        "transposition",
        tuple(sorted(defines.items())),
        (source.argument, target.argument),
        parameters(
            "int32",
            (),
            *(rows, columns, x.strides[row], y.strides[column]),
            (1,) * missing + tuple(small[axis] for axis in others),
            (0,) * missing + tuple(x.strides[axis] for axis in others),
            (0,) * missing + tuple(y.strides[axis] for axis in others),
            *(x.offset, y.offset),
        ),
        (-(-rows // TILE) * -(-columns // TILE) * images,),
        (items,),
    )
