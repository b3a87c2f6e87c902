"""What PyTorch is told before it is timed beside the pack."""

from __future__ import annotations

from typing import Any

from dispatch.problem import Precision

__all__ = ["tell"]


def tell(torch: Any, precision: Precision) -> None:
    """Have PyTorch time cuDNN's algorithms, and use TF32 where `medium` allows it."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = precision == "medium"
    torch.backends.cuda.matmul.allow_tf32 = precision == "medium"
