"""Tilings of products: what they ask of a device, and which is expected to be the fastest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch.answer import NoCode
from kernels.gpu.catalogue import CATALOGUE
from kernels.gpu.tiling import BANKS, MISFIT, RUN, TILINGS, WORD, Blocked, Sizes, Tiled
from kernels.gpu.traits import Traits

SERVER = Traits("of a server", False, True, True, True, 132, 1024, 48 << 10, 255, 16)
PHONE = Traits("of a phone", False, False, True, True, 4, 256, 32 << 10, 64, 16)
CPU = Traits("a CPU", True, True, False, False, 2, 4096, 256 << 10, 32, 64)
OLD_CPU = replace(CPU, registers=16, vector_bytes=32)
TILED = [tiling for tiling, _ in TILINGS if isinstance(tiling, Tiled)]
BLOCKED = [tiling for tiling, _ in TILINGS if isinstance(tiling, Blocked)]
EXTENTS = st.integers(1, 5000)


def best(traits, m, n, k=512, batches=1, computed="float32"):
    """Return the name of the tiling that expects to be the fastest."""
    sizes = Sizes(m, n, k, batches)
    able = [t for t, _ in TILINGS if t.refusal(computed, traits) is None]
    return min(able, key=lambda t: t.slowdown(computed, sizes, traits)).name


@pytest.mark.parametrize("tiling", TILED, ids=lambda t: t.name)
def test_tiles_are_shared_out_evenly(tiling):
    assert tiling.m % (RUN * tiling.items_m) == tiling.n % tiling.items_n == 0
    assert tiling.k % tiling.items_k == 0
    # A work-item brings elements a step apart, of one column or one row; taps are found at once.
    assert tiling.items % tiling.m == tiling.items % tiling.n == tiling.items % tiling.k == 0
    assert WORD * tiling.k <= tiling.items
    # Neighbours bring what lies along the sum in whole groups of as many as there are banks.
    along = min(tiling.k, 16)
    assert tiling.items % (BANKS * tiling.k // along) == 0
    across = tiling.n // tiling.items_n
    run = min(across, RUN)
    at_once = tiling.items // tiling.k * run * tiling.items_n / tiling.n
    assert at_once % run == tiling.k % along == 0
    assert across % min(across, RUN) == 0
    assert tiling.m * tiling.k % tiling.items == tiling.n * tiling.k % tiling.items == 0


def test_each_tiling_is_a_kernel_of_its_own():
    names = [algorithm.name for algorithm in CATALOGUE if algorithm.operator == "matmul"]
    assert names == [tiling.name for tiling, _ in TILINGS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("family", [TILED, BLOCKED])
def test_each_family_serves_every_dtype(family):
    served = {dtype for tiling, dtypes in TILINGS if tiling in family for dtype in dtypes}
    for algorithm in CATALOGUE:
        if algorithm.name in {tiling.name for tiling in family}:
            assert set(algorithm.dtypes) <= served
    assert served >= {"float32", "float64", "float16", "bfloat16", "int32", "int64", "int8"}


def test_small_devices_refuse_large_groups_and_have_one_that_fits():
    small = replace(PHONE, max_items=64, local_bytes=16 << 10)
    answers = {tiling.name: tiling.refusal("float64", small) for tiling in TILED}
    assert answers.pop("tiled_32x32") is None
    assert {(no.code, no.subject, no.limit) for no in answers.values()} == {
        (NoCode.DEVICE, "work-items", "<= 64")
    }
    tight = replace(PHONE, local_bytes=16 << 10)
    no = Tiled(128, 128, 16, 16).refusal("float32", tight)
    assert (no.code, no.subject, no.limit) == (NoCode.DEVICE, "local memory", "<= 16384")
    assert int(no.got) >= 4 * 16 * 2 * 128


def test_blocks_fit_into_the_least_local_memory_of_a_device():
    least = replace(CPU, local_bytes=32 << 10)
    for computed in ("float32", "float64"):
        for traits in (least, replace(least, vector_bytes=32), replace(least, vector_bytes=16)):
            assert [t.refusal(computed, traits) for t in BLOCKED] == [None] * len(BLOCKED)
    no = Blocked(6, 2, 16).refusal("float32", replace(least, local_bytes=16 << 10))
    assert (no.code, no.subject, no.got) == (NoCode.DEVICE, "local memory", str(28 << 10))


@pytest.mark.parametrize(
    ("traits", "sizes", "name"),
    [
        (SERVER, (4096, 4096), "tiled_128x128"),
        (PHONE, (4096, 4096), "tiled_128x64"),
        (PHONE, (1, 1000), "tiled_4x32"),
        (SERVER, (1, 1000), "tiled_4x32"),
        (SERVER, (4, 4096), "tiled_4x32"),
        (PHONE, (1000, 1), "tiled_32x4"),
        (SERVER, (4096, 4), "tiled_32x4"),
        (PHONE, (32, 12544), "tiled_32x32"),
        (PHONE, (64, 12544), "tiled_64x64"),
        (PHONE, (96, 160), "tiled_32x32"),
        (SERVER, (640, 3), "tiled_32x4"),
        (CPU, (512, 512), "blocked_6x2"),
        (OLD_CPU, (512, 512), "blocked_6x2"),
        (CPU, (1, 1000), "blocked_2x4"),
        (CPU, (4, 1000), "blocked_2x4"),
        (OLD_CPU, (1, 1000), "blocked_2x4"),
        (CPU, (768, 12), "blocked_24x1"),
    ],
)
def test_costs_prefer_what_fits_the_problem(traits, sizes, name):
    assert best(traits, *sizes) == name


def test_costs_bring_what_lies_transposed_in_narrow_blocks():
    def best_of(m, strided):
        sizes = Sizes(m, 512, 512, 1, strided)
        return min(BLOCKED, key=lambda t: t.slowdown("float32", sizes, CPU)).name

    assert best_of(8, False) == "blocked_2x4"
    assert best_of(8, True) == "blocked_24x1"


def test_few_groups_on_many_units_are_made_smaller():
    assert best(SERVER, 256, 256) not in ("tiled_128x128", "tiled_128x64")
    assert best(replace(SERVER, units=1), 256, 256) == "tiled_128x128"
    assert best(SERVER, 256, 256, batches=1000) == "tiled_128x128"


def test_what_spills_isnt_preferred():
    assert not any(best(OLD_CPU, m, 8) == "blocked_24x1" for m in range(1, 200))
    assert not any(best(PHONE, m, 4096) == "tiled_128x128" for m in range(1, 2000, 50))


@given(EXTENTS, EXTENTS, EXTENTS, st.integers(1, 50))
def test_costs_are_of_the_devices_kind_and_no_less_than_its_best(m, n, k, batches):
    sizes = Sizes(m, n, k, batches)
    for tiling, _ in TILINGS:
        for traits in (SERVER, PHONE, CPU, OLD_CPU):
            slowdown = tiling.slowdown("float32", sizes, traits)
            assert slowdown > (MISFIT if isinstance(tiling, Tiled) == traits.is_cpu else 1)


def test_nothing_to_sum_up_is_no_reason_to_fail():
    for tiling, _ in TILINGS:
        assert tiling.slowdown("float32", Sizes(3, 4, 0, 1), SERVER) > 0
