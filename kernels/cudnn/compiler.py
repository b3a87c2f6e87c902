"""NVRTC by its C interface: CUDA C to cubins, without a GPU."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from typing import Any

from dispatch.errors import KernelFailed
from kernels.cudnn.wheels import shared_library
from kernels.gpu.sources import program_text

__all__ = ["Compiler", "compiler", "options_for", "text_of"]


def options_for(capability: int) -> tuple[str, ...]:
    """Return the compiler's options for a compute capability, as 90 for 9.0.

    Quotients and roots are rounded correctly and denormals kept, which are NVRTC's defaults.
    """
    return (f"--gpu-architecture=sm_{capability}", "--disable-warnings")


def text_of(source: str, defines: tuple[tuple[str, str], ...]) -> str:
    """Return a program of `kernels.gpu` in CUDA C; every NVIDIA GPU has float64."""
    return program_text(source, (("HAS_F64", "1"), *defines))


class Compiler:
    """NVRTC.

    Parameters
    ----------
    library
        What has the C functions.
    """

    def __init__(self, library: Any) -> None:
        self._c = library

    @property
    def version(self) -> str:
        """Major and minor version."""
        major, minor = c_int(), c_int()
        self._c.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    def compile(self, text: str, options: tuple[str, ...], what: str) -> bytes:
        """Return the cubin of a program.

        Raises
        ------
        KernelFailed
            With the compiler's log.
        """
        program = c_void_p()
        self._c.nvrtcCreateProgram(
            ctypes.byref(program), text.encode(), what.encode(), 0, None, None
        )
        try:
            given = (c_char_p * len(options))(*(option.encode() for option in options))
            if self._c.nvrtcCompileProgram(program, len(options), given):
                log = self._get("ProgramLog", program).rstrip(b"\0").decode(errors="replace")
                raise KernelFailed(f"{what} wasn't built with {' '.join(options)}:\n{log}")
            return self._get("CUBIN", program)
        finally:
            self._c.nvrtcDestroyProgram(ctypes.byref(program))

    def _get(self, what: str, program: c_void_p) -> bytes:
        size = c_size_t()
        getattr(self._c, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        data = ctypes.create_string_buffer(size.value)
        getattr(self._c, f"nvrtcGet{what}")(program, data)
        return data.raw


@cache
def compiler() -> Compiler:
    """Return NVRTC, of its wheel or the system's.

    Raises
    ------
    PackUnavailable
        If it isn't found.
    """
    # Some of its releases look for their own library elsewhere than beside themselves.
    return Compiler(
        shared_library("nvidia-cuda-nvrtc", "libnvrtc.so.13", before=("libnvrtc-builtins.so",))
    )
