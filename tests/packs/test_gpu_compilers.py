"""What the compilers of GPUs that aren't here make of our kernels: do they fit into registers?"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from kernels.gpu.catalogue import CATALOGUE
from kernels.gpu.tiling import TILINGS, Tiled
from tests.packs.gpu_compilers import COMPILERS, inner_loop
from tests.packs.gpu_programs import programs

INTEL, AMD = COMPILERS
OURS = [algorithm for algorithm in CATALOGUE if algorithm.is_portable]
PROGRAMS = 3
UNROLLED = 4
LARGE = [t for t, _ in TILINGS if isinstance(t, Tiled) and t.items_k == 1]


def needed(compiler):
    if compiler.missing:
        pytest.skip(compiler.missing)


@pytest.mark.parametrize("compiler", COMPILERS, ids=lambda c: c.traits.name)
@pytest.mark.parametrize("algorithm", OURS, ids=lambda a: f"{a.operator}.{a.name}")
def test_programs_compile_and_fit_into_registers(algorithm, compiler):
    needed(compiler)
    targets = itertools.cycle(compiler.targets)
    found = list(programs(algorithm, compiler.traits, count=1).items())
    assert found
    some = found[:: -(-len(found) // PROGRAMS)]
    for ((source, defines), launch), target in zip(some, targets, strict=False):
        built = compiler.compile(source, defines, target)[launch.function]
        assert built.spilled == 0, (target, source, dict(defines), built)
        assert built.local_bytes <= compiler.traits.local_bytes


def first_program(operator, tiling, traits):
    (algorithm,) = (a for a in OURS if (a.operator, a.name) == (operator, tiling.name))
    float32 = replace(algorithm, dtypes=("float32",))
    return next(iter(programs(float32, traits, count=1)))


@pytest.mark.parametrize("operator", ["matmul", "conv2d"])
@pytest.mark.parametrize("tiling", LARGE, ids=lambda t: t.name)
def test_products_take_most_of_the_inner_loop(tiling, operator):
    needed(AMD)
    program = first_program(operator, tiling, AMD.traits)
    loop = inner_loop(AMD.compile(*program, AMD.targets[0])["gemm"].listing)
    products = [name for name in loop if "fma" in name]
    assert len(products) == UNROLLED * tiling.m * tiling.n // tiling.items
    assert len(products) >= 0.7 * len(loop)
    # Four elements at once, and nothing from other memory.
    read = {name for name in loop if re.match("ds_|global_|buffer_|flat_|scratch_", name)}
    assert read == {"ds_read_b128"}


@pytest.mark.parametrize("target", INTEL.targets)
@pytest.mark.parametrize("operator", ["matmul", "conv2d"])
def test_middle_tiles_leave_registers_for_sixteen_lanes(operator, target):
    needed(INTEL)
    (tiling,) = (tiling for tiling in LARGE if tiling.name == "tiled_64x64")
    program = first_program(operator, tiling, INTEL.traits)
    assert INTEL.compile(*program, target)["gemm"].lanes == 16
