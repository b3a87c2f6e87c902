"""Which machine this is: what of it decides how fast a kernel runs."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Machine", "machine_of", "this_machine"]

_FACTS = ("model name", "CPU implementer", "CPU part", "CPU variant", "isa", "uarch", "cache size")
"""Lines of /proc/cpuinfo that tell one CPU from another."""
_FEATURES = ("flags", "Features")
_LEVELS = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "fphp", "asimd", "sve", "sme", "i8mm",
           "bf16")  # fmt: skip
"""How the features begin that levels of instruction sets ask for. The others come and go with
the operating system's version."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine's name.

    Parameters
    ----------
    id
        The same for machines whose CPUs have the same model, features, cache and number;
        not the address.
    description
        For people: the model, how many CPUs, the family.
    """

    id: str
    description: str


@cache
def this_machine() -> Machine:
    """Return what machine this process runs on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return machine_of(lines, platform.machine(), os.cpu_count() or 1)


def machine_of(lines: Iterable[str], family: str, count: int) -> Machine:
    """Return the machine that lines of /proc/cpuinfo describe.

    Parameters
    ----------
    lines
        Of all its CPUs; none where the system doesn't tell.
    family
        As `platform.machine` says.
    count
        How many CPUs it has.
    """
    facts: set[str] = set()
    model = ""
    for line in lines:
        name, _, value = (part.strip() for part in line.partition(":"))
        if name in _FACTS:
            facts.add(f"{name}: {value}")
        elif name in _FEATURES:
            facts |= {word for word in value.split() if word.startswith(_LEVELS)}
        if name == "model name" and not model:
            model = value
    text = "\n".join([*sorted(facts), family, str(count)])
    return Machine(
        hashlib.sha256(text.encode()).hexdigest()[:16],
        f"{model or family}, {count} CPU{'s' if count > 1 else ''}, {family}",
    )
