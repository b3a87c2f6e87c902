"""The kernels of plans on devices, as a file for who replays them without Python."""

from __future__ import annotations

from collections.abc import Mapping

from dispatch.contract import ExportingPack, Kernel
from dispatch.errors import InvalidArgument
from dispatch.memory import memory_of_device
from dispatch.problem import Problem
from dispatch.registry import registry
from runtime.errors import ArtifactError
from runtime.plan.plan import Plan

__all__ = ["export_kernels"]


def export_kernels(plans: Mapping[str, Plan]) -> bytes | None:
    """Return what a pack writes of its kernels in plans, None if none is for a device.

    Parameters
    ----------
    plans
        Name → plan; those that work in the host's memory need no file.

    Raises
    ------
    ArtifactError
        If kernels need Python, or plans are for several packs' devices.
    """
    kernels: dict[tuple[str, Problem], Kernel] = {}
    names: dict[str, str] = {}
    for name, plan in plans.items():
        if memory_of_device(plan.data["device"]) is None:
            continue
        for option in plan.options:
            assert option.kernel is not None
            kernels[option.kernel.name, option.problem] = option.kernel
            names[option.kernel.name.partition(".")[0]] = name
    if not kernels:
        return None
    if len(names) > 1:
        raise ArtifactError(f"plans: expected one pack's kernels on devices, got {sorted(names)}")
    ((pack_name, name),) = names.items()
    pack = next(p.opened for p in registry().packs if p.name == pack_name)
    if not isinstance(pack, ExportingPack):
        raise ArtifactError(
            f"plans: {name!r} takes kernels of pack {pack_name}, which need Python: libreplay "
            f"can't run them; the trace itself serves every device"
        )
    try:
        return pack.export([(kernel, problem) for (_, problem), kernel in kernels.items()])
    except InvalidArgument as error:
        raise ArtifactError(f"plans: {name!r}: {error}") from error
