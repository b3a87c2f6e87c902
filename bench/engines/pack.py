"""What the engines of our own packs share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bench.errors import CaseError
from dispatch.context import Settings, active, using
from dispatch.problem import Problem
from dispatch.registry import RegisteredPack, registry

__all__ = ["find_pack", "settings_of"]


def find_pack(name: str) -> RegisteredPack:
    """Return an installed pack that can be used.

    Raises
    ------
    CaseError
        If it isn't installed, or its library is missing.
    """
    packs = {pack.name: pack for pack in registry().packs}
    found = packs.get(name)
    if found is None:
        raise CaseError(f"pack: expected one of {', '.join(packs)}, got {name!r}")
    if not found.available:
        raise CaseError(f"pack {name} can't be used: {found.reason}")
    return found


@contextmanager
def settings_of(problem: Problem, pack: str | None) -> Iterator[Settings]:
    """Put a problem's settings in force, with one pack allowed or all."""
    with using(
        device=problem.device,
        packs=pack,
        precision=problem.precision,
        deterministic=problem.deterministic,
        threads=problem.threads,
    ):
        yield active().settings
