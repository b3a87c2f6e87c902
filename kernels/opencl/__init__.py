"""Our portable kernels in OpenCL C, through pyopencl, which is imported when it is needed."""

from __future__ import annotations

from kernels.opencl.memory import OpenCLMemory
from kernels.opencl.pack import OpenCLPack

__all__ = ["pack"]

pack = OpenCLPack(OpenCLMemory())
