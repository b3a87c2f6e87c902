"""The plug-in that counts: its table of classes against the assembler, its counts by hand."""

import ctypes
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench.emulation.plugin import CLASSES, Counts, build_plugin, read_counts
from bench.emulation.qemu import check_cpu, qemu_version
from bench.errors import CaseError, CountingFailed, EmulationUnavailable
from tests.bench.instructions import INSTRUCTIONS

SOURCES = Path(__file__).resolve().parents[2] / "bench" / "emulation" / "src" / "plugin"
ROW = re.compile(r'^A64\((\w+), (0x\w{8}), (0x\w{8}), "(.+)"\)$', re.MULTILINE)
ROWS = ROW.findall((SOURCES / "a64_classes.inc").read_text())
PREFIX = "aarch64-linux-gnu-"


def tool(name: str) -> str:
    """Return a program's path; skips where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} isn't installed")
    return found


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, text=True
    )


def assemble(folder: Path, lines: Sequence[str]) -> list[int]:
    """Return the word of each instruction."""
    assembler, copier = tool(PREFIX + "as"), tool(PREFIX + "objcopy")
    source, made, binary = folder / "a.s", folder / "a.o", folder / "a.bin"
    source.write_text("".join(f"{line}\n" for line in lines))
    run(assembler, "-mcpu=all", "-o", made, source)
    run(copier, "-O", "binary", made, binary)
    words = [int(word) for (word,) in struct.iter_unpack("<I", binary.read_bytes())]
    assert len(words) == len(lines)
    return words


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], str]:
    library = tmp_path_factory.mktemp("a64") / "a64.so"
    run(tool("gcc"), "-shared", "-fPIC", "-O1", "-o", library, SOURCES / "a64.c")
    loaded = ctypes.CDLL(str(library))
    loaded.a64_class_name.restype = ctypes.c_char_p
    return lambda word: loaded.a64_class_name(loaded.a64_classify(ctypes.c_uint32(word))).decode()


def test_every_row_holds_its_example_and_no_row_hides_another(tmp_path: Path) -> None:
    assert len(ROWS) == (SOURCES / "a64_classes.inc").read_text().count("\nA64(")
    for index, word in enumerate(assemble(tmp_path, [example for *_, example in ROWS])):
        first = next(
            i
            for i, (_, mask, value, _) in enumerate(ROWS)
            if word & int(mask, 16) == int(value, 16)
        )
        assert first == index, f"{ROWS[index]} is found by {ROWS[first]}"


def test_the_examples_are_classified(tmp_path: Path, classify: Callable[[int], str]) -> None:
    words = assemble(tmp_path, [example for *_, example in ROWS])
    for (wanted, *_, example), word in zip(ROWS, words, strict=True):
        assert classify(word) == wanted.lower(), example


@pytest.mark.parametrize("wanted", CLASSES)
def test_more_instructions(wanted: str, tmp_path: Path, classify: Callable[[int], str]) -> None:
    for line, word in zip(
        INSTRUCTIONS[wanted], assemble(tmp_path, INSTRUCTIONS[wanted]), strict=True
    ):
        assert classify(word) == wanted, line


# ---- Counting under emulation ------------------------------------------------------------------

START, STOP = "hint #0x60", "hint #0x61"
EXIT = ("mov x8, #94", "mov x0, #0", "svc #0")


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Counts]:
    """Return a function that counts a program of these lines."""
    folder = tmp_path_factory.mktemp("count")
    qemu, compiler = Path(tool("qemu-aarch64")), tool(PREFIX + "gcc")
    plugin = build_plugin(folder, qemu)

    def counted(*lines: str, runs: int = 1) -> Counts:
        source, program, figures = folder / "p.s", folder / "p", folder / "figures"
        source.write_text("\n".join((".globl _start", "_start:", *lines, *EXIT, "")))
        run(compiler, "-nostdlib", "-static", "-march=armv8.2-a+dotprod", "-o", program, source)
        run(qemu, "-cpu", "max", "-plugin", f"{plugin},out={figures}", program)
        return read_counts(figures, runs)

    return counted


def test_a_loop_is_counted_exactly(count: Callable[..., Counts]) -> None:
    counts = count(
        "mov x9, #7", START, "mov x0, #1000", "1: fmla v0.4s, v1.4s, v2.4s",
        "udot v3.4s, v4.16b, v5.16b", "ldp q6, q7, [sp]", "str q6, [sp, #-16]", "add x1, x1, #1",
        "subs x0, x0, #1", "b.ne 1b", STOP, "add x1, x1, #1",
    )  # fmt: skip
    assert counts.classes == {
        "multiply_add": 1000, "dot": 1000, "load": 1000, "store": 1000, "branch": 1000,
        "other": 2001,
    }  # fmt: skip
    assert counts.total == 7001
    assert counts.arithmetic == 2000


def test_markers_inside_a_block_count_what_is_between(count: Callable[..., Counts]) -> None:
    counts = count(
        "add x1, x1, #1", START, "ldr x2, [sp]", "add x1, x1, #1", STOP, "fmadd s0, s1, s2, s3",
        START, "ldr x3, [sp]", "add x1, x1, #1", STOP, "str x2, [sp, #-8]", runs=2,
    )  # fmt: skip
    assert counts.classes == dict.fromkeys(CLASSES, 0) | {"load": 1, "other": 1}


def test_what_is_called_between_the_markers_counts_too(count: Callable[..., Counts]) -> None:
    counts = count("b 2f", "1: str x2, [sp, #-8]", "ret", "2:", START, "bl 1b", "bl 1b", STOP)
    assert counts.classes == dict.fromkeys(CLASSES, 0) | {"store": 2, "branch": 4}


def test_two_counts_are_the_same(count: Callable[..., Counts]) -> None:
    lines = (START, "mov x0, #31", "1: subs x0, x0, #1", "b.ne 1b", STOP)
    assert count(*lines) == count(*lines)


@pytest.mark.parametrize(
    ("lines", "runs", "words"),
    [
        ((START, "nop"), 1, "the last one left open"),
        (("nop",), 1, "expected 1 runs between markers, got 0"),
        ((START, STOP), 2, "expected 2 runs between markers, got 1"),
        ((START, "nop", STOP, START, STOP), 2, "the 2 runs differ in other"),
    ],
)
def test_markers_that_are_not_passed_as_expected(
    count: Callable[..., Counts], lines: Sequence[str], runs: int, words: str
) -> None:
    with pytest.raises(CountingFailed, match=words):
        count(*lines, runs=runs)


FIGURES = "".join(f"{name} 4\n" for name in CLASSES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected multiply_add"),
        ("load\n", "expected the plug-in's figures"),
        ("load x\n", "expected the plug-in's figures"),
        (FIGURES + "intervals 2\nopen 0\nthreads 3\n", "counts need one thread, but 3 ran"),
    ],
)
def test_damaged_figures_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "figures"
    path.write_text(text)
    with pytest.raises(CountingFailed, match=words):
        read_counts(path, 2)
    with pytest.raises(CountingFailed, match="No such file"):
        read_counts(tmp_path / "missing", 1)


def test_a_cpu_that_qemu_does_not_have_is_named() -> None:
    qemu = Path(tool("qemu-aarch64"))
    for cpu in ("cortex-a72", "neoverse-n1", "max", "max,sve256=on"):
        check_cpu(qemu, cpu)
    with pytest.raises(CaseError, match=r"cpu: expected one of .*neoverse-n1.*, got 'cortex'"):
        check_cpu(qemu, "cortex")


def test_no_compiler_and_no_qemu_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CountingFailed, match="No such file"):
        qemu_version(tmp_path / "qemu-aarch64")
    qemu = tmp_path / "qemu"
    qemu.write_text("#!/bin/sh\necho qemu-aarch64 version 7.2.1 -plugin\n")
    qemu.chmod(0o755)
    assert qemu_version(qemu) == "7.2.1"
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(EmulationUnavailable, match="plug-in: no-such-compiler: No such file"):
        build_plugin(tmp_path, qemu)
    monkeypatch.setenv("CC", "false")
    with pytest.raises(EmulationUnavailable, match="ended with 1"):
        build_plugin(tmp_path, qemu)
    qemu.write_text("#!/bin/sh\necho qemu-aarch64 version 10.0.2\n")
    with pytest.raises(CountingFailed, match=r"version 10\.0\.2\) is built without plug-ins"):
        build_plugin(tmp_path, qemu)
    qemu.write_text("#!/bin/sh\necho qemu-aarch64 version 3.1.0 -plugin\n")
    with pytest.raises(CountingFailed, match=r"expected 6\.2 or later"):
        build_plugin(tmp_path, qemu)
