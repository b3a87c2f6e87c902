"""Records of measured times for a test alone, and packs whose times are known."""

from __future__ import annotations

import pytest

from dispatch import registry as registry_module
from dispatch.answer import Yes
from dispatch.registry import Registry
from dispatch.remembered import clear
from dispatch.tuning import records as records_module
from dispatch.tuning.database import Database
from dispatch.tuning.records import Records
from tests.dispatch.fakes import FakePack
from tests.dispatch.tuning_fakes import CHEAP, DEAR, SlowKernel


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of records of its own for the test."""
    made = Records(Database(tmp_path / "cache" / "tuned.sqlite3"))
    monkeypatch.setattr(records_module, "_records", made)
    yield made
    clear()


@pytest.fixture
def packs(monkeypatch, file):
    """A vendor's pack whose kernel of least expected cost is the slower one, and a fallback."""
    clear()
    kernels = (
        SlowKernel(CHEAP, lambda p: Yes(1e-6), seconds=0.004),
        SlowKernel(DEAR, lambda p: Yes(2e-6), seconds=0.0005),
    )
    spare = SlowKernel("spare.relu.plain.f32", lambda p: Yes(5e-6), seconds=0.004)
    made = (FakePack("vendor", kernels), FakePack("spare", (spare,), fallback=True))
    monkeypatch.setattr(
        registry_module, "_registry", Registry((p, f"{p.name} of tests") for p in made)
    )
    return {k.name: k for k in (*kernels, spare)}
