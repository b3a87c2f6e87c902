"""NVIDIA GPUs: cuDNN's graphs, and our portable kernels in CUDA C; imported when needed.

A draft: nothing of it has run on a GPU yet.
"""

from __future__ import annotations

from kernels.cudnn.memory import CudaMemory
from kernels.cudnn.pack import CudnnPack

__all__ = ["pack"]

pack = CudnnPack(CudaMemory())
