"""One function an ONNX operator, by family; `HANDLERS` holds them all."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.onnx.call import Handler
from runtime.onnx.handlers import (
    activations,
    casts,
    constants,
    convolution,
    elementwise,
    matrices,
    movement,
    normalization,
    padding,
    pooling,
    reductions,
    resizing,
    shapes,
)

__all__ = ["HANDLERS"]

HANDLERS: Mapping[str, Handler] = {
    **activations.HANDLERS,
    **casts.HANDLERS,
    **constants.HANDLERS,
    **convolution.HANDLERS,
    **elementwise.HANDLERS,
    **matrices.HANDLERS,
    **movement.HANDLERS,
    **normalization.HANDLERS,
    **padding.HANDLERS,
    **pooling.HANDLERS,
    **reductions.HANDLERS,
    **resizing.HANDLERS,
    **shapes.HANDLERS,
}
"""ONNX's name of an operator of the default domain → what records it."""
