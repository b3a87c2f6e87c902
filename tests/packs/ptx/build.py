"""Make shared objects of PTX."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.packs.ptx.parse import parse
from tests.packs.ptx.translate import translate

__all__ = ["shared_object"]

_FLAGS = (
    *("-Og", "-march=native", "-ffp-contract=off", "-frounding-math", "-fno-strict-aliasing"),
    *("-fPIC", "-shared", "-w", f"-I{Path(__file__).resolve().parent}"),
)


def shared_object(text: str, *, logs: bool = False) -> bytes:
    """Return the shared object of a program in PTX.

    Parameters
    ----------
    text
        The program.
    logs
        Whether each use of memory is noted.

    Raises
    ------
    ValueError
        If the program has what isn't known here.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "program.c"), Path(folder, "program.so")
        source.write_text(translate(parse(text)))
        noting = ("-DPTX_LOGS",) if logs else ()
        subprocess.run(("gcc", *_FLAGS, *noting, "-o", made, source, "-lm"), check=True)
        return made.read_bytes()
