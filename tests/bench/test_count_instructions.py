"""The plug-in that counts: its table of classes against the assembler, its counts by hand."""

import ctypes
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from bench.emulation.plugin import CLASSES, Counts, build_plugin, qemu_version, read_counts
from bench.errors import CountingFailed

SOURCES = Path(__file__).resolve().parents[2] / "bench" / "emulation" / "src"
ROW = re.compile(r'^A64\((\w+), (0x\w{8}), (0x\w{8}), "(.+)"\)$', re.MULTILINE)
ROWS = ROW.findall((SOURCES / "a64_classes.inc").read_text())
PREFIX = "aarch64-linux-gnu-"

MORE: Mapping[str, Sequence[str]] = {
    "multiply_add": (
        "fmsub d0, d1, d2, d3", "fnmadd s0, s1, s2, s3", "fmadd h0, h1, h2, h3",
        "fmla v0.2s, v1.2s, v2.2s", "fmla v0.2d, v1.2d, v2.2d", "fmls v0.8h, v1.8h, v2.8h",
        "fmla v31.4s, v30.4s, v15.s[3]", "fmla v0.2d, v1.2d, v2.d[0]", "fmla d0, d1, v2.d[1]",
        "fmlal2 v0.4s, v1.4h, v2.4h", "mla v0.8b, v1.8b, v2.8b", "smlal2 v0.2d, v1.4s, v2.4s",
        "umlal v0.8h, v1.8b, v2.8b", "umlsl2 v0.4s, v1.8h, v2.8h", "umlal2 v0.4s, v1.8h, v2.h[7]",
        "bfmlalt v0.4s, v1.8h, v2.8h", "fcmla v0.4h, v1.4h, v2.4h, #0",
        "fcmla v0.8h, v1.8h, v2.h[3], #180", "sqdmlsl2 v0.2d, v1.4s, v2.4s",
        "fmad z0.d, p0/m, z1.d, z2.d", "fnmls z0.h, p7/m, z1.h, z2.h", "fmsb z0.s, p1/m, z1.s, z2.s",
        "fmls z0.d, z1.d, z2.d[1]", "fmla z0.h, z1.h, z2.h[7]", "fmlalt z0.s, z1.h, z2.h[3]",
        "fmlslb z0.s, z1.h, z2.h", "bfmlalb z0.s, z1.h, z2.h", "msb z0.b, p0/m, z1.b, z2.b",
        "mls z0.d, z1.d, z2.d[1]", "mla z0.h, z1.h, z2.h[7]", "umlslt z0.d, z1.s, z2.s",
        "smlalt z0.d, z1.s, z2.s[3]", "sqdmlslbt z0.s, z1.h, z2.h", "sqdmlslt z0.d, z1.s, z2.s[1]",
        "sqrdcmlah z0.s, z1.s, z2.s, #90", "sqrdcmlah z0.s, z1.s, z2.s[1], #90",
    ),
    "dot": (
        "sdot v0.2s, v1.8b, v2.8b", "udot v0.4s, v1.16b, v2.4b[3]", "bfdot v0.2s, v1.4h, v2.4h",
        "sudot v0.2s, v1.8b, v2.4b[0]", "sdot z0.d, z1.h, z2.h", "udot z0.s, z1.b, z2.b",
        "sdot z0.d, z1.h, z2.h[1]", "usdot z0.s, z1.b, z2.b[3]", "bfmmla z0.s, z1.h, z2.h",
        "fmmla z0.d, z1.d, z2.d", "smmla z0.s, z1.b, z2.b", "usmmla z0.s, z1.b, z2.b",
        "bfmopa za1.s, p0/m, p1/m, z1.h, z2.h", "fmops za0.d, p0/m, p1/m, z1.d, z2.d",
        "smopa za0.s, p0/m, p1/m, z1.b, z2.b", "usmops za3.s, p0/m, p1/m, z1.b, z2.b",
    ),
    "load": (
        "ldr x0, [x1]", "ldr w0, [x1, #4]!", "ldr x0, [x1], #8", "ldr w0, [x1, w2, uxtw #2]",
        "ldur x0, [x1, #-1]", "ldtr x0, [x1]", "ldrb w0, [x1]", "ldrh w0, [x1, x2]",
        "ldrsb w0, [x1]", "ldrsw x0, .", "ldr x0, .", "ldr s0, .", "ldr b0, [x1]", "ldr q0, [x1, x2]",
        "ldur q0, [x1, #1]", "ldp w0, w1, [x2]", "ldp s0, s1, [x2], #8", "ldnp q0, q1, [x2]",
        "ldpsw x0, x1, [x2]", "ldxr x0, [x1]", "ldaxp x0, x1, [x2]", "ldar w0, [x1]",
        "ldapursw x0, [x1]", "ldapurb w0, [x1, #3]", "ldaprh w0, [x1]", "ldrab x0, [x1, #8]!",
        "ld1 {v0.16b-v3.16b}, [x0], #64", "ld1r {v0.4s}, [x0]", "ld1 {v0.s}[2], [x0]",
        "ld2 {v0.4s, v1.4s}, [x0], x1", "ld4 {v0.8h-v3.8h}, [x0]", "ld3r {v0.4s-v2.4s}, [x0]",
        "ldr z0, [x0, #1, mul vl]", "ldr p0, [x0]", "ld1rqw {z0.s}, p0/z, [x0]",
        "ldnf1b {z0.b}, p0/z, [x0]", "ldff1w {z0.s}, p0/z, [x0, x1, lsl #2]",
        "ld1w {z0.s}, p0/z, [x0, z1.s, sxtw #2]", "ld1w {z0.s}, p0/z, [z1.s, #4]",
        "ld1sb {z0.d}, p0/z, [z1.d]", "ld1rd {z0.d}, p0/z, [x0, #8]", "ld4w {z0.s-z3.s}, p0/z, [x0]",
        "ldnt1w {z0.s}, p0/z, [x0]", "ldr za[w12, 0], [x0]", "ldgm x0, [x1]",
    ),
    "store": (
        "str x0, [x1]", "str w0, [x1, #4]!", "strh w0, [x1], #2", "str q0, [x1, x2]",
        "stur w0, [x1, #-1]", "stur q0, [x1, #3]", "sttr x0, [x1]", "str b0, [x1]",
        "stp q0, q1, [x2, #32]", "stnp x0, x1, [x2]", "stxr w0, x1, [x2]", "stlxp w0, x1, x2, [x3]",
        "stlrb w0, [x1]", "stlurh w0, [x1, #2]", "swpal x0, x1, [x2]", "ldclr w0, w1, [x2]",
        "stadd x0, [x1]", "casal x0, x1, [x2]", "casb w0, w1, [x2]", "caspal w0, w1, w2, w3, [x4]",
        "st1 {v0.4s-v3.4s}, [x0], x1", "st1 {v0.d}[1], [x0]", "st2 {v0.8h, v1.8h}, [x0]",
        "str z0, [x0]", "str p0, [x0, #1, mul vl]", "st1w {z0.s}, p0, [x0, z1.s, uxtw]",
        "st1d {z0.d}, p0, [z1.d, #8]", "st4b {z0.b-z3.b}, p0, [x0]", "stnt1w {z0.s}, p0, [x0]",
        "str za[w12, 0], [x0]", "st64b x0, [x2]", "setp [x0]!, x1!, x2", "st2g x0, [x1]",
    ),
    "branch": (
        "b .", "b.al .", "cbz w0, .", "tbz x0, #33, .", "tbnz w0, #1, .", "br x0", "blr x1",
        "ret x3", "retaa", "blraaz x0",
    ),
    "other": (
        "nop", "hint #0x60", "yield", "dmb ish", "isb", "svc #0", "brk #1", "mrs x0, fpcr",
        "dc zva, x0", "add x0, x1, x2", "adds x0, x1, #4", "madd x0, x1, x2, x3", "mul x0, x1, x2",
        "smaddl x0, w1, w2, x3", "umulh x0, x1, x2", "adrp x0, .", "movz x0, #1", "ubfx x0, x1, #2, #3",
        "csel x0, x1, x2, ne", "fmul v0.4s, v1.4s, v2.4s", "fmul v0.4s, v1.4s, v2.s[1]",
        "fmulx v0.4s, v1.4s, v2.s[1]", "fadd v0.4s, v1.4s, v2.4s", "fmul s0, s1, s2",
        "fmul s0, s1, v2.s[1]", "mul v0.4s, v1.4s, v2.4s", "mul v0.4s, v1.4s, v2.s[1]",
        "smull v0.4s, v1.4h, v2.4h", "umull2 v0.4s, v1.8h, v2.h[1]", "sqdmulh v0.4s, v1.4s, v2.s[1]",
        "sqrdmulh v0.4s, v1.4s, v2.4s", "sqdmull v0.4s, v1.4h, v2.h[1]", "pmull v0.8h, v1.8b, v2.8b",
        "sadalp v0.4s, v1.8h", "saba v0.4s, v1.4s, v2.4s", "sabal v0.4s, v1.4h, v2.4h",
        "fcadd v0.4s, v1.4s, v2.4s, #90", "fmax v0.4s, v1.4s, v2.4s", "dup v0.4s, w0",
        "ext v0.16b, v1.16b, v2.16b, #4", "zip1 v0.4s, v1.4s, v2.4s", "tbl v0.16b, {v1.16b}, v2.16b",
        "sshl v0.4s, v1.4s, v2.4s", "shl v0.4s, v1.4s, #3", "ssra v0.4s, v1.4s, #3",
        "movi v0.4s, #1", "scvtf v0.4s, v1.4s", "fcvtzs w0, s0", "fmov w0, s1", "aese v0.16b, v1.16b",
        "fmul z0.s, z1.s, z2.s", "fmul z0.s, z1.s, z2.s[1]", "fmul z0.s, p0/m, z0.s, z1.s",
        "fadd z0.s, p0/m, z0.s, z1.s", "fcadd z0.s, p0/m, z0.s, z1.s, #90", "mul z0.s, z1.s, z2.s",
        "mul z0.s, p0/m, z0.s, z1.s", "mul z0.s, z1.s, z2.s[1]", "smullb z0.s, z1.h, z2.h",
        "umullt z0.s, z1.h, z2.h[1]", "sqdmulh z0.s, z1.s, z2.s[1]", "sqdmullb z0.s, z1.h, z2.h[1]",
        "add z0.s, p0/m, z0.s, z1.s", "sadalp z0.s, p0/m, z1.h", "uaddv d0, p0, z1.s",
        "lsl z0.s, p0/m, z0.s, z1.s", "asr z0.s, p0/m, z0.s, #1", "abs z0.s, p0/m, z1.s",
        "movprfx z0, z1", "whilelo p0.s, x0, x1", "ptrue p0.s", "cntw x0", "incw x0",
        "addha za0.s, p0/m, p1/m, z0.s", "smstart", "rdffr p0.b", "setffr",
        "mova z0.s, p0/m, za0h.s[w12, 0]", "prfb pldl1keep, p0, [x0]", "prfw pldl1keep, p0, [x0, x1, lsl #2]",
    ),
}  # fmt: skip


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
    for line, word in zip(MORE[wanted], assemble(tmp_path, MORE[wanted]), strict=True):
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
        "multiply_add": 1000, "dot": 1000, "load": 1000, "store": 1000, "branch": 1000, "other": 2001,
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


def test_no_compiler_and_no_qemu_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CountingFailed, match="No such file"):
        qemu_version(tmp_path / "qemu-aarch64")
    qemu = tmp_path / "qemu"
    qemu.write_text("#!/bin/sh\necho qemu-aarch64 version 7.2.1\n")
    qemu.chmod(0o755)
    assert qemu_version(qemu) == "7.2.1"
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CountingFailed, match="a C compiler is needed: no-such-compiler"):
        build_plugin(tmp_path, qemu)
    monkeypatch.setenv("CC", "false")
    with pytest.raises(CountingFailed, match="failed"):
        build_plugin(tmp_path, qemu)
    qemu.write_text("#!/bin/sh\necho qemu-aarch64 version 3.1.0\n")
    with pytest.raises(CountingFailed, match=r"expected 6\.2 or later"):
        build_plugin(tmp_path, qemu)
