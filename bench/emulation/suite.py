"""``bench run`` for a CPU of another architecture: retired instructions in the place of times.

By emulation a time says nothing, but what a program retires is the same on every run. Each
engine's kernel runs alone, with one thread, once to warm up and once between markers; its result
is checked before its count is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench.alternation import Schedule
from bench.case import Case
from bench.check import check, expect
from bench.emulation.plugin import build_plugin
from bench.emulation.qemu import check_cpu, qemu_version
from bench.emulation.runner import NAIVE, Counted, Runner
from bench.emulation.target import MACHINE
from bench.engines.base import KERNEL_DOTS
from bench.errors import CaseError, Refused
from bench.plan import Mode, Plan, Subject, check_base, environment_of
from bench.results import INSTRUCTIONS, Measurement, Report
from dispatch.answer import Yes
from dispatch.contract import KernelName
from dispatch.device_names import host_family
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.processors import default_threads
from dispatch.registry import registry
from dispatch.selection import serving
from dispatch.tuning.values import arrays_of

if TYPE_CHECKING:
    from bench.emulation.environment import Environment

__all__ = ["DEFAULT_CPU", "check_plan", "is_emulated", "run_emulated"]

EMULATED = {"arm": MACHINE}
"""The devices that can be emulated, and their architecture."""
DEFAULT_CPU = "neoverse-n1"
SEED = 20

Progress = Callable[[str, int, int], None]


def is_emulated(device: str) -> bool:
    """Return whether a device's programs run here by emulation alone."""
    return device in EMULATED and device != host_family()


def check_plan(plan: Plan, threads: Sequence[int]) -> None:
    """Raise `CaseError` for an option that makes no sense, with an emulated device or without."""
    if not is_emulated(plan.device):
        if plan.cpu is not None:
            raise CaseError(
                f"cpu: only an emulated device takes a model ({', '.join(EMULATED)} on a machine "
                f"of another architecture), got {plan.cpu!r} for {plan.device!r}"
            )
        return
    for option, sensible, why in (
        ("model, memory, overhead", plan.subject is Subject.OPERATORS, "count operators alone"),
        ("threads", tuple(threads) == (1,), "counts need one thread"),
        ("peers", not plan.peers, "the frameworks here are programs for this machine"),
        ("direct", not plan.direct, "packs' direct calls are Python of this machine"),
        ("tuned", not plan.tuned, "kernels are chosen by times of this machine"),
        ("mode", plan.mode is Mode.KERNEL, "Python isn't emulated: kernels alone are counted"),
        (
            "seconds, rounds, clock",
            plan.schedule == Schedule(),
            "every run retires the same: each kernel is counted once",
        ),
    ):
        if not sensible:
            raise CaseError(
                f"{option}: device {plan.device!r} is emulated on this machine, where instructions "
                f"are counted, not time: {why}"
            )


def run_emulated(plan: Plan, cases: Sequence[Case], progress: Progress) -> Report:
    """Count the instructions of the plan's packs, and of plain C loops, on the cases.

    Parameters
    ----------
    plan
        `check_plan` has passed it.
    cases
        With the plan's device.
    progress
        Called with a label, how many are done and how many there are.

    Raises
    ------
    WrongResult
        If an engine's result is wrong: nothing is reported then.
    BenchError
        Something that is needed is missing or fails.
    """
    from bench.emulation.environment import prepare

    environment = prepare(progress)
    cpu = plan.cpu or DEFAULT_CPU
    check_cpu(environment.qemu, cpu)
    version = qemu_version(environment.qemu)
    packs = _packs_of(plan, environment)
    variables = environment_of(plan, tuple(packs))
    with TemporaryDirectory(prefix="bench-") as folder:
        runner = Runner(
            environment,
            cpu,
            environment.build / "bench" / "run_problem",
            {name: path for name, path in packs.items() if path is not None},
            build_plugin(Path(folder), environment.qemu),
            variables,
        )
        with closing(runner):
            engines = _engines_of(plan, runner, tuple(packs), cases[0].problem)
            check_base(plan.base, engines)
            measurements, refusals, versions = _count(runner, cases, engines, progress)
    settings = {
        "engines": engines,
        "versions": versions,
        "threads": 1,
        "environment": variables,
        "machine": f"{EMULATED[plan.device]} {cpu}, QEMU {version}",
        "emulation": {
            "cpu": cpu,
            "qemu": version,
            "compiler": environment.compiler,
            "versions": dict(environment.versions),
        },
    }
    return Report(_title(plan, cpu, version), settings, measurements, refusals)


# ---- What is counted ----------------------------------------------------------------------------


def _packs_of(plan: Plan, environment: Environment) -> dict[str, Path | None]:
    """Return the packs to count, each with its library for the device; plain loops have none."""
    built = {
        path.stem.removeprefix("libkernels_"): path
        for path in environment.build.glob("kernels/*/libkernels_*.so")
    }
    here = [p.name for p in serving(plan.device, None, registry()) if p.name in built] + [NAIVE]
    unknown = [name for name in plan.packs if name not in here]
    if unknown:
        raise CaseError(
            f"packs: expected some of {', '.join(here)}, which are built for "
            f"{EMULATED[plan.device]}, got {', '.join(map(repr, unknown))}"
        )
    return {name: built.get(name) for name in plan.packs or here}


def _engines_of(plan: Plan, runner: Runner, packs: Sequence[str], problem: Problem) -> list[str]:
    """Return the engines' names: packs, or for one problem every kernel that serves it."""
    if plan.problem is None:
        return list(packs)
    names, refusals = [], []
    for pack in packs:
        try:
            answers = runner.answers(pack, problem)
        except Refused as error:
            refusals.append(str(error))
            continue
        names += [name for name, answer in answers.kernels if isinstance(answer, Yes)]
        refusals.append(f"{pack}: {answers.refusals()}")
    if not names:
        reasons = "".join(f"\n  {reason}" for reason in refusals)
        raise CaseError(f"problem: no kernel of {', '.join(packs)} serves {problem}{reasons}")
    return names


def _title(plan: Plan, cpu: str, version: str) -> str:
    what = "one problem" if plan.problem is not None else f"{plan.op}, {plan.shapes}, {plan.dtype}"
    how = (
        "kernels: alone, in the problem's layouts, constants packed"
        if plan.problem is not None
        else "packs: prepared kernels alone, in the layouts they like, constants packed"
    )
    return (
        f"{what}, {plan.device}; retired {EMULATED[plan.device]} instructions under emulation "
        f"(QEMU {version}, {cpu}): not time; {how}; {NAIVE}: plain loops in C; one thread"
    )


# ---- Counting -----------------------------------------------------------------------------------


def _count(
    runner: Runner, cases: Sequence[Case], engines: Sequence[str], progress: Progress
) -> tuple[list[Measurement], dict[tuple[str, str], str], dict[str, str]]:
    """Count every engine on every case, as many at a time as there are CPUs."""
    measurements: list[Measurement] = []
    refusals: dict[tuple[str, str], str] = {}
    versions: dict[str, str] = {}
    total = len(cases) * len(engines)
    with ThreadPoolExecutor(default_threads()) as pool:
        try:
            wanted = dict.fromkeys((case.problem, engine) for case in cases for engine in engines)
            counts = {key: pool.submit(_run, runner, *key) for key in wanted}
            for number, case in enumerate(cases):
                progress(case.label, number * len(engines), total)
                expected = expect(case.problem, arrays_of(case.problem, SEED))
                for engine in engines:
                    try:
                        counted = counts[case.problem, engine].result()
                    except Refused as error:
                        refusals[case.name, engine] = str(error)
                        continue
                    worst = check(engine, case.problem, counted.outputs, expected)
                    versions.setdefault(engine, counted.library)
                    measurements.append(_measurement(case, engine, counted, worst))
                if all((case.name, engine) in refusals for engine in engines):
                    reasons = "\n".join(refusals[case.name, engine] for engine in engines)
                    raise CaseError(f"no engine serves {case.name}:\n{reasons}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            runner.close()
            raise
    progress("", total, total)
    return measurements, refusals, versions


def _run(runner: Runner, problem: Problem, engine: str) -> Counted:
    arrays = arrays_of(problem, SEED)
    if engine.count(".") != KERNEL_DOTS:
        return runner.count_best(engine, problem, arrays)
    library = runner.answers(KernelName.parse(engine).pack, problem).library
    return runner.count(engine, problem, arrays, library)


def _measurement(case: Case, engine: str, counted: Counted, worst: float) -> Measurement:
    schema = operators()[case.problem.operator]
    extra = {
        "label": case.label,
        "count": case.count,
        "problem": case.problem.to_dict(),
        "flops": schema.flops(case.problem),
        "bytes": schema.bytes_moved(case.problem),
        "kernel": counted.kernel,
        "layouts": list(counted.layouts),
        "error": worst,
        "classes": dict(counted.counts.classes),
    }
    return Measurement(case.name, engine, (float(counted.counts.total),), 1, extra, INSTRUCTIONS)
