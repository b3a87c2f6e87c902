"""The text of programs: one language for OpenCL C and CUDA C, by src/device.h."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files

__all__ = ["program_text"]

PRELUDE = ("device", "types", "functions", "epilogue")
SHARED = {
    **dict.fromkeys(("blocked", "tiled"), ("products",)),
    **dict.fromkeys(("gru", "lstm", "rnn"), ("recurrence",)),
    **dict.fromkeys(("dynamic", "qsoftmax", "reduce", "rows", "scan", "topk"), ("group",)),
    **dict.fromkeys(("along", "gather", "gather_elements", "tuples"), ("indices",)),
}
"""What a source has in common with others."""


@cache
def _read(name: str) -> str:
    return files("kernels.gpu").joinpath("src", f"{name}.h").read_text()


def files_of(source: str) -> tuple[str, ...]:
    """Return the files of a program, in order."""
    return (*PRELUDE, *SHARED.get(source, ()), source)


def program_text(source: str, defines: Iterable[tuple[str, str]]) -> str:
    """Return a program: its macros, the files that it shares, then its own.

    Parameters
    ----------
    source
        A file of ``src``, without its ending.
    defines
        Macros and what they stand for.
    """
    macros = [f"#define {name} {value}" for name, value in defines]
    parts = [f'#line 1 "{name}.h"\n{_read(name)}' for name in files_of(source)]
    return "\n".join([*macros, *parts])
