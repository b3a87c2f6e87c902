"""Write the C source of a cffi extension module.

Usage: emit_native.py MODULE PREAMBLE OUTPUT CDEF...
"""

import sys
from pathlib import Path

from cffi import FFI


def main(module: str, preamble: str, output: str, *cdefs: str) -> None:
    """Emit the module that declares `cdefs` and is compiled behind `preamble`."""
    ffi = FFI()
    for cdef in cdefs:
        ffi.cdef(Path(cdef).read_text(encoding="utf-8"))
    ffi.set_source(module, preamble)
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
