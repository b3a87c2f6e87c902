"""The pack's own kernels as NVRTC compiles them, run on the host: see `tests.packs.ptx`.

A driver that is given PTX compiles it for its GPU; this one does so for the CPU at hand.
"""

from __future__ import annotations

import ctypes

from kernels.cudnn.compiler import Compiler
from tests.packs.cuda_fakes import value
from tests.packs.cudnn_on_the_host import HostDriver, live
from tests.packs.ptx.build import shared_object
from tests.packs.ptx.run import Program

__all__ = ["PtxCompiler", "PtxDriver"]


class PtxCompiler(Compiler):
    """NVRTC, whose PTX is made into shared objects.

    Parameters
    ----------
    library
        What has the C functions.
    logs
        Whether the objects note their uses of memory.
    """

    version = "for the host"  # what is kept on disk is kept by it

    def __init__(self, library, *, logs=False):
        super().__init__(library)
        self._logs = logs

    def compile(self, text, options, what):
        """Return the shared object of a program."""
        virtual = tuple(option.replace("=sm_", "=compute_") for option in options)
        ptx = super().compile(text, virtual, what).rstrip(b"\0").decode()
        return shared_object(ptx, logs=self._logs)

    def _get(self, what, program):
        return super()._get({"CUBIN": "PTX"}.get(what, what), program)


class PtxDriver(HostDriver):
    """Launches of such shared objects, at once or when their graph is launched."""

    def __init__(self):
        super().__init__()
        self.programs, self.functions = {}, []

    def _cuModuleGetFunction(self, function, module, name):
        number = value(module)
        if number not in self.programs:
            self.programs[number] = Program(self.images[number - 1])
        self.functions.append((self.programs[number], name.decode()))
        function._obj.value = len(self.functions)

    def _cuLaunchKernel(self, *arguments):
        function, *sizes, shared, _, pointers, _ = arguments
        program, kernel = self.functions[value(function) - 1]
        assert shared == 0, "shared memory beside what a kernel declares"
        grid, block = sizes[:3], sizes[3:]
        given = [
            ctypes.string_at(pointers[i], size) for i, size in enumerate(program.sizes(kernel))
        ]
        self.do(
            lambda: program.launch(
                kernel, grid, block, given, ((m.ptr, m.ptr + m.size) for m in live())
            )
        )
