"""Devices that aren't here: plans are made for them, to be run there without Python."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from dispatch.errors import PackUnavailable
from kernels.gpu.traits import Traits

__all__ = ["VARIABLE", "DescribedDevice", "DescribedQueue", "described_devices"]

VARIABLE = "DISPATCH_OPENCL_DEVICES"
"""Names a file that the program ``opencl_devices`` printed on the machine of the devices."""


@dataclass(frozen=True, slots=True)
class DescribedDevice:
    """A device by its properties, which have OpenCL's names (`pyopencl.Device` has the same)."""

    name: str
    version: str
    type: int
    extensions: str
    native_vector_width_float: int
    max_compute_units: int
    max_work_group_size: int
    local_mem_size: int
    mem_base_addr_align: int


@dataclass(frozen=True, slots=True)
class DescribedQueue:
    """What planning asks a queue of: `dispatch.contract.Queue`."""

    device_id: int
    traits: Traits
    alignment: int

    @property
    def context(self) -> int:
        """One for each device."""
        return self.device_id

    def __str__(self) -> str:
        return f"OpenCL device {self.device_id} ({self.traits.name}), described by {VARIABLE}"


@cache
def described_devices() -> tuple[DescribedDevice, ...] | None:
    """Return the devices that the environment describes, None if it describes none.

    Raises
    ------
    PackUnavailable
        If the file isn't there, or isn't what ``opencl_devices`` prints.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    try:
        found = tuple(_described(data) for data in json.loads(Path(path).read_text()))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PackUnavailable(
            f"pack opencl: {VARIABLE}={path}: expected what opencl_devices prints, got {error!r}"
        ) from error
    if not found:
        raise PackUnavailable(f"pack opencl: {VARIABLE}={path}: expected a device at least")
    return found


def _described(data: dict[str, Any]) -> DescribedDevice:
    kinds = {"str": str, "int": int}
    for field in fields(DescribedDevice):
        value = data[field.name]
        if type(value) is not kinds[str(field.type)]:
            raise TypeError(f"{field.name}: expected {field.type}, got {value!r}")
    return DescribedDevice(**{f.name: data[f.name] for f in fields(DescribedDevice)})
