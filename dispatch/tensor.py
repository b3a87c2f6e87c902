"""What a problem knows of a tensor: everything but its values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from dispatch.dtypes import SHORT_NAMES, numpy_dtype

__all__ = ["ANY", "LAYOUT_BLOCKS", "NCHW", "NHWC", "Quantization", "TensorSpec"]

NCHW = "nchw"
"""Dense in the logical order of the dimensions, whatever the rank."""
NHWC = "nhwc"
ANY = "any"
LAYOUT_BLOCKS: dict[str, int] = {NCHW: 1, NHWC: 1, "nChw16c": 16, "nChw8c": 8}
"""The layouts, and how many channels lie together in one block."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """``real = scale * (stored - zero_point)``, for the tensor or along one axis.

    Parameters
    ----------
    scales, zero_points
        One entry, or as many as `axis` has elements.
    axis
        The axis that the entries belong to; -1 for one entry for the whole tensor.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = -1

    def __str__(self) -> str:
        if self.axis != -1:
            return f"{{{len(self.scales)} scales, axis {self.axis}}}"
        with np.errstate(over="ignore"):  # of what no kernel will take
            scales = np.asarray(self.scales, np.float32)
        return "{" + ",".join(map(str, (*scales, *self.zero_points))) + "}"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Dtype, shape, layout, quantisation, and whether the value is constant.

    Parameters
    ----------
    dtype
        A name of `dispatch.dtypes.SHORT_NAMES`.
    shape
        Extents in the logical order (N, C, H, W for images).
    layout
        One of `LAYOUT_BLOCKS`, or `ANY` in a question.
    constant
        The value never changes, so that a kernel may pack it once.
    """

    dtype: str
    shape: tuple[int, ...]
    layout: str = NCHW
    constant: bool = False
    quantization: Quantization | None = field(default=None)

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements of the logical shape."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return numpy_dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        """Bytes in memory, the last block of channels filled up."""
        block = LAYOUT_BLOCKS.get(self.layout, 1)
        if block == 1:
            return self.size * self.itemsize
        n, channels, height, width = self.shape
        return n * -(-channels // block) * block * height * width * self.itemsize

    def with_layout(self, layout: str) -> TensorSpec:
        """Return the same tensor in another layout."""
        return self if layout == self.layout else replace(self, layout=layout)

    def __str__(self) -> str:
        shape = ",".join(map(str, self.shape))
        layout = "" if self.layout == NCHW else f":{self.layout}"
        quantization = "" if self.quantization is None else str(self.quantization)
        mark = "!" if self.constant else ""
        return f"{SHORT_NAMES[self.dtype]}[{shape}]{layout}{quantization}{mark}"
