"""Our kernels as programs for NVIDIA GPUs, and what is kept of programs and plans."""

from __future__ import annotations

import itertools
import math
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from dispatch.errors import KernelFailed
from kernels.cudnn import enqueue, kept
from kernels.cudnn.compiler import options_for, text_of
from kernels.cudnn.frontend import plan_key
from kernels.cudnn.graph_kernel import described
from kernels.cudnn.pack import ALGORITHMS
from kernels.gpu.plan import Plan
from kernels.gpu.sources import PRELUDE, SHARED
from kernels.gpu.tiling import TILINGS
from kernels.gpu.traits import Traits
from tests.packs.cubin import facts_of
from tests.packs.cuda_fakes import FakeCompiler
from tests.packs.cudnn_problems import CAPABILITIES, problems, resnet50

PARTS = {*PRELUDE, *itertools.chain(*SHARED.values())}
FOR_CPUS = {tiling.source for tiling, _ in TILINGS if not tiling.is_portable}
SOURCES = sorted(
    {path.stem for path in (Path(__file__).resolve().parents[2] / "kernels/gpu/src").glob("*.h")}
    - PARTS
    - FOR_CPUS
)
GPU = Traits("a GPU", False, True, True, True, 60, 1024, 48 << 10, 255, 16)


# ---- Programs ---------------------------------------------------------------------------------


@cache
def nvrtc():
    from kernels.cudnn.compiler import compiler

    try:
        metadata.files("nvidia-cuda-nvrtc")
    except metadata.PackageNotFoundError:
        pytest.skip("nvidia-cuda-nvrtc is not installed (make test-opencl installs it)")
    return compiler()


@cache
def programs():
    """Return, by source, the programs of each algorithm's first problems in each dtype."""
    found = {}
    for algorithm in ALGORITHMS:
        for dtype in algorithm.dtypes:
            for problem in problems(algorithm.operator, dtype, 16):
                plan = algorithm.plan(problem, GPU)
                for launch in plan.launches if isinstance(plan, Plan) else ():
                    found.setdefault(launch.source, {})[launch.defines] = launch
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_sources_become_cubins_for_every_architecture(source):
    # One program of each source; tests/packs/test_gpu_sources.py has them all, by turns.
    defines, launch = next(iter(programs()[source].items()))
    for capability in CAPABILITIES:
        cubin = nvrtc().compile(text_of(source, defines), options_for(capability), source)
        assert cubin.startswith(b"\x7fELF") and launch.function.encode() in cubin
        check_resources(cubin, launch)


def check_resources(cubin, launch):
    """Hold a program to what the driver is given for it, and to what any GPU has."""
    facts, items = facts_of(cubin, launch.function), math.prod(launch.items)
    assert facts.parameters == (8,) * len(launch.arguments) + (len(launch.parameters),)
    assert facts.shared_bytes <= GPU.local_bytes
    registers = -(-facts.registers // 8) * 8 * -(-items // 32) * 32
    assert registers <= 65536 and items <= GPU.max_items
    grid = (*launch.groups, 1, 1)[:3]
    assert grid[0] < 2**31 and max(grid[1:]) <= 65535


def test_every_source_has_a_program():
    assert set(programs()) == set(SOURCES)


def test_a_program_that_doesnt_build_says_why():
    with pytest.raises(KernelFailed, match=r"map\.h wasn't built with --gpu(.|\n)*error"):
        nvrtc().compile("no such", options_for(90), "map.h")


def test_programs_and_plans_are_kept_by_all_that_they_depend_on(monkeypatch):
    monkeypatch.setattr(enqueue, "compiler", FakeCompiler)
    base = enqueue.program_key("text", options_for(90), 13000)
    others = (
        enqueue.program_key("other", options_for(90), 13000),
        enqueue.program_key("text", options_for(100), 13000),
        enqueue.program_key("text", options_for(90), 13010),
    )
    graph, other = (described(p) for p in itertools.islice(resnet50("float16", "nhwc"), 2))
    plans = (
        plan_key(graph, "H200", "cuDNN 9.28"),
        plan_key(other, "H200", "cuDNN 9.28"),
        plan_key(graph, "A100", "cuDNN 9.28"),
        plan_key(graph, "H200", "cuDNN 9.29"),
    )
    keys = [kept.key_of(key) for key in (base, *others, *plans)]
    assert len(set(keys)) == len(keys)
    assert kept.key_of(("ab", "c")) != kept.key_of(("a", "bc"))


def test_what_is_kept_is_made_once_and_anew_when_it_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(kept.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
    made = []

    def make():
        made.append(1)
        return b"content"

    for _ in range(2):
        assert kept.kept("cubin", ("key",), make) == b"content"
    assert len(made) == 1
    (file,) = (tmp_path / "cudnn").iterdir()
    for damaged in (b"", file.read_bytes()[:-1], file.read_bytes() + b"x"):
        file.write_bytes(damaged)
        assert kept.kept("cubin", ("key",), make) == b"content"
    assert len(made) == 4


def test_a_folder_that_cant_be_written_to_keeps_nothing(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(kept.platformdirs, "user_cache_dir", lambda _: str(blocked))
    assert kept.kept("cubin", ("key",), lambda: b"content") == b"content"
