"""The kernels of plans on devices, as a file for who replays them without Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dispatch.contract import ExportingPack, Kernel
from dispatch.errors import InvalidArgument
from dispatch.memory import memory_of_device
from dispatch.problem import Problem
from dispatch.registry import registry
from dispatch.tuning.contest import record_of
from dispatch.tuning.records import records
from runtime.errors import ArtifactError
from runtime.plan.plan import Plan

if TYPE_CHECKING:
    from runtime.replay import Replay

__all__ = ["export_candidates", "export_kernels", "take_times"]


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
    names = []
    for name, plan in plans.items():
        if memory_of_device(plan.data["device"]) is None:
            continue
        names.append(repr(name))
        for option in plan.options:
            assert option.kernel is not None
            kernels[option.kernel.name, option.problem] = option.kernel
    if not kernels:
        return None
    what = "plans: " + ", ".join(names)
    pairs = [(kernel, problem) for (_, problem), kernel in kernels.items()]
    return _exported(_exporting(pairs, what), pairs, what)


def export_candidates(replay: Replay) -> bytes:
    """Return all kernels that planning chooses among, to be timed where there is no Python.

    Raises
    ------
    ArtifactError
        If one of them needs Python.
    """
    pairs = replay.candidates()
    return _exported(_exporting(pairs, "candidates"), pairs, "candidates")


def take_times(replay: Replay, text: str) -> int:
    """Keep times that the candidates took elsewhere; plans under ``tuned=True`` go by them.

    Returns
    -------
    int
        How many of the candidates were timed.

    Raises
    ------
    InvalidArgument
        If the text is something else.
    """
    pairs = replay.candidates()
    timed = _exporting(pairs, "times").read_times(text, pairs)
    records().add([record_of(each) for each in timed])
    return len(timed)


def _exported(pack: ExportingPack, pairs: Sequence[tuple[Kernel, Problem]], what: str) -> bytes:
    try:
        return pack.export(pairs)
    except InvalidArgument as error:
        raise ArtifactError(f"{what}: {error}") from error


def _exporting(pairs: Sequence[tuple[Kernel, Problem]], what: str) -> ExportingPack:
    """Return the one pack that all kernels are of."""
    names = sorted({kernel.name.partition(".")[0] for kernel, _ in pairs})
    if len(names) != 1:
        raise ArtifactError(f"{what}: expected kernels of one pack on a device, got {names}")
    pack = next(p.opened for p in registry().packs if p.name == names[0])
    if not isinstance(pack, ExportingPack):
        raise ArtifactError(
            f"{what}: pack {names[0]}'s kernels need Python or work in the host's memory, so there "
            f"is no file of them; the trace itself serves every device"
        )
    return pack
