"""One function an ONNX operator, by family; `HANDLERS` holds them all."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.onnx.call import Handler
from runtime.onnx.handlers import (
    activations,
    attention,
    casts,
    columns,
    constants,
    convolution,
    einsum,
    elementwise,
    fourier,
    fused,
    hyperbolic,
    indexing,
    integers,
    known,
    matrices,
    movement,
    normalization,
    padding,
    pooling,
    positions,
    quantization,
    ranking,
    recurrent,
    reductions,
    resizing,
    sequences,
    shapes,
)
from runtime.onnx.load import DEFAULT_DOMAINS

__all__ = ["HANDLERS", "TAKE_QUANTIZED", "TAKE_SEQUENCES", "qualified"]

HANDLERS: Mapping[str, Handler] = {
    **activations.HANDLERS,
    **attention.HANDLERS,
    **casts.HANDLERS,
    **columns.HANDLERS,
    **constants.HANDLERS,
    **convolution.HANDLERS,
    **einsum.HANDLERS,
    **elementwise.HANDLERS,
    **fourier.HANDLERS,
    **fused.HANDLERS,
    **hyperbolic.HANDLERS,
    **indexing.HANDLERS,
    **integers.HANDLERS,
    **known.HANDLERS,
    **matrices.HANDLERS,
    **movement.HANDLERS,
    **normalization.HANDLERS,
    **padding.HANDLERS,
    **pooling.HANDLERS,
    **positions.HANDLERS,
    **quantization.HANDLERS,
    **ranking.HANDLERS,
    **recurrent.HANDLERS,
    **reductions.HANDLERS,
    **resizing.HANDLERS,
    **sequences.HANDLERS,
    **shapes.HANDLERS,
}
"""ONNX's name of an operator, after the domain where that isn't the default → what records it."""

TAKE_QUANTIZED = quantization.TAKE_QUANTIZED
TAKE_SEQUENCES = sequences.TAKE_SEQUENCES


def qualified(domain: str, operator: str) -> str:
    """Return an operator's name as `HANDLERS` has it."""
    return operator if domain in DEFAULT_DOMAINS else f"{domain}::{operator}"
