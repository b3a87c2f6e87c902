"""The architecture that is emulated, in the words of those who are asked for parts of it."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CPUS",
    "CPU_OPTIONS",
    "DEBIAN_NAME",
    "DEBIAN_SUITE",
    "EMULATOR",
    "MACHINE",
    "TRIPLET",
    "WHEEL_TAGS",
]

MACHINE: Final = "aarch64"
"""As `platform.machine` says it."""
TRIPLET: Final = "aarch64-linux-gnu"
EMULATOR: Final = "qemu-aarch64"
CPUS: Final = ("cortex-a72", "neoverse-n1", "max")
"""QEMU's models: without dot products; with them and half precision; with all that QEMU has."""
CPU_OPTIONS: Final = {"max": "max,pauth-impdef=on"}
"""Signing pointers by the architecture's own cipher takes an emulator most of its time."""
DEBIAN_NAME: Final = "arm64"
DEBIAN_SUITE: Final = "trixie"
"""The release whose packages the root is made of; the host's own may be another."""
WHEEL_TAGS: Final = (
    f"manylinux_2_28_{MACHINE}",
    f"manylinux_2_27_{MACHINE}",
    f"manylinux_2_26_{MACHINE}",
    f"manylinux2014_{MACHINE}",
    f"linux_{MACHINE}",
)
"""Platforms whose wheels run on the root, most capable first."""
