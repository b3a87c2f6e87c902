"""What kernels expect of a device: one of middle size."""

from __future__ import annotations

from kernels.gpu.answers import Speed

__all__ = ["SPEED"]

SPEED = Speed(launch=5e-6, bytes=1e11, flops=1e12)
