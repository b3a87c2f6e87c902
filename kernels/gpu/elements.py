"""Launches that move elements bit by bit: copies between strided arrays, and their filling."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch.operator import Array
from kernels.gpu.elementwise import RAW
from kernels.gpu.mapping import Operand, map_launch
from kernels.gpu.plan import Launch
from kernels.gpu.strided import View, dense
from kernels.gpu.traits import Traits

__all__ = ["copy_launch", "fill_launch"]


def copy_launch(
    itemsize: int, shape: Sequence[int], source: View, target: View, traits: Traits
) -> Launch:
    """Return the launch that copies elements of so many bytes from one argument to another."""
    moved = RAW[itemsize]
    return map_launch("a", shape, [Operand(0, moved, source)], Operand(1, moved, target), traits)


def fill_launch(shape: Sequence[int], value: Array, traits: Traits, argument: int = 0) -> Launch:
    """Return the launch that sets all elements of a dense array to the one of `value`."""
    moved = RAW[value.dtype.itemsize]
    bits = int(value.reshape(1).view(moved)[0])
    return map_launch(
        "alpha", shape, [], Operand(argument, moved, dense(shape)), traits, numbers=(bits, 0)
    )
