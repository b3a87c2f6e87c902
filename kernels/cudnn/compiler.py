"""NVRTC by its C interface: CUDA C to cubins, without a GPU."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from importlib import metadata
from typing import Any

from dispatch.errors import KernelFailed, PackUnavailable
from kernels.gpu.sources import program_text

__all__ = ["Compiler", "compiler", "options_for", "text_of"]

_WHEEL = "nvidia-cuda-nvrtc"
_SYSTEM = "libnvrtc.so.13"


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
    try:
        files = [str(f.locate()) for f in metadata.files(_WHEEL) or []]
    except metadata.PackageNotFoundError:
        files = []
    path = next((f for f in files if "libnvrtc.so" in f), _SYSTEM)
    try:
        # Some of its releases look for their own library elsewhere than beside themselves.
        for builtins in (f for f in files if "libnvrtc-builtins.so" in f):
            ctypes.CDLL(builtins)
        return Compiler(ctypes.CDLL(path))
    except OSError as error:
        raise PackUnavailable(
            f"pack cudnn: NVRTC is not found ({error}); pip install kernel-dispatch[nvidia]"
        ) from error
