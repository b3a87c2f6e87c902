"""PyTorch beside the pack: what it is told before it is timed, and what it fuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dispatch.problem import Precision, Problem

__all__ = ["fused", "tell"]


def tell(torch: Any, precision: Precision) -> None:
    """Have PyTorch time cuDNN's algorithms, and use TF32 where `medium` allows it."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = precision == "medium"
    torch.backends.cuda.matmul.allow_tf32 = precision == "medium"


def fused(torch: Any, problem: Problem, tensors: Sequence[Any]) -> Callable[[], Any] | None:
    """Return PyTorch's call of cuDNN that does a whole problem, None where it has none.

    Parameters
    ----------
    tensors
        The inputs, where they are to be read.
    """
    attributes: dict[str, Any] = dict(problem.attributes)
    steps = tuple(step.name for step in problem.epilogue)
    if problem.operator != "conv2d" or steps not in (("relu",), ("add", "relu")):
        return None
    pads = attributes["pads"]
    if pads[:2] != pads[2:]:
        return None
    x, w, bias = tensors[:3]
    how = attributes["strides"], pads[:2], attributes["dilations"], attributes["groups"]
    if steps == ("relu",):
        return lambda: torch.cudnn_convolution_relu(x, w, bias, *how)
    residual = tensors[problem.epilogue[0].input]
    return lambda: torch.cudnn_convolution_add_relu(x, w, residual, 1.0, bias, *how)
