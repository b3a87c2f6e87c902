"""Engines by name."""

from __future__ import annotations

import importlib

from bench.engines.base import ANY_PACK, CHAIN, DIRECT, EAGER, KERNEL_DOTS, PEERS, TUNED, Engine
from bench.engines.chain import ChainEngine
from bench.engines.direct import DirectEngine
from bench.engines.eager import EagerEngine
from bench.engines.kernel import KernelEngine
from bench.engines.tuned import TunedEngine
from bench.errors import CaseError

__all__ = ["make_engine"]


def make_engine(name: str, threads: int) -> Engine:
    """Return the engine of a name.

    Raises
    ------
    CaseError
        If there is none.
    MissingExtra
        If its package isn't installed.
    """
    module = PEERS.get(name)
    if module is not None:
        engine: Engine = importlib.import_module(module).engine(threads)
        return engine
    if name.count(".") == KERNEL_DOTS:
        return KernelEngine(name.partition(".")[0], name)
    pack, _, mode = name.partition(":")
    if mode == DIRECT:
        return DirectEngine(pack)
    if pack == ANY_PACK and mode == TUNED:
        return TunedEngine()
    if mode == EAGER or (pack == ANY_PACK and not mode):
        return EagerEngine(None if pack == ANY_PACK else pack)
    if mode.startswith(CHAIN):
        return ChainEngine(pack, mode.removeprefix(CHAIN))
    if not mode:
        return KernelEngine(pack)
    raise CaseError(
        f"engine: expected a pack's name, alone or with :{EAGER} or :{DIRECT}, {ANY_PACK}, "
        f"{ANY_PACK}:{TUNED}, or one of {', '.join(PEERS)}, got {name!r}"
    )
