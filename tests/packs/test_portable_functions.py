"""The portable pack's functions of one float, beside float64: closer than the kit demands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.portable import pack
from tests.packs.portable_levels import opened

UNITS = {
    "exp": 1.5,
    "elu": 2.0,
    "sigmoid": 2.5,
    "silu": 3.5,
    "tanh": 2.5,
    "erf": 2.5,
    "gelu": 6.0,
    "log": 1.0,
}
"""Units in the last place. GELU's are those of exp(-x * x / 2) far below 0."""

WITHOUT_FUSED_PRODUCTS = {"gelu": 72.0}
"""Where the square's rounding error can't be had."""


@pytest.mark.parametrize("level", pack.levels)
def test_functions_are_exact_to_a_few_units_in_the_last_place(level: str) -> None:
    opened(level)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("portable_functions.py")],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        env={**os.environ, "DISPATCH_PORTABLE_LEVEL": level},
    )
    bounds = {**UNITS, **(WITHOUT_FUSED_PRODUCTS if level == "generic" else {})}
    found = json.loads(done.stdout)
    assert found.keys() == bounds.keys()
    beyond = {name: worst for name, worst in found.items() if not worst[0] <= bounds[name]}
    assert not beyond
