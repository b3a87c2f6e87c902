"""The emulated Arm machine: made once for all workers, only where it is asked for."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import get_type_hints

import pytest

from bench.emulation.environment import Environment, prepare

VARIABLE = "DISPATCH_TEST_EMULATED"
ENABLED = os.environ.get(VARIABLE) == "1"
REASON = f"takes an emulated Arm machine, minutes to make: make test-arm sets {VARIABLE}=1"


def pytest_configure(config: pytest.Config) -> None:
    """Make the machine before any worker starts."""
    if ENABLED and not hasattr(config, "workerinput"):
        config.emulated = prepare(python=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Tell a worker where the machine is."""
    if ENABLED:
        node.workerinput["emulated"] = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in dataclasses.asdict(node.config.emulated).items()
        }


@pytest.fixture(scope="session")
def environment(request: pytest.FixtureRequest) -> Environment:
    """The emulated machine; skips where there is none."""
    if not ENABLED:
        pytest.skip(REASON)
    given = getattr(request.config, "workerinput", {}).get("emulated")
    if given is None:
        return request.config.emulated
    paths = [name for name, kind in get_type_hints(Environment).items() if "Path" in str(kind)]
    return Environment(**{**given, **{name: Path(given[name]) for name in paths}})
