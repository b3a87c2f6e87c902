"""Compilers for GPUs that aren't here: what they make of a program, without running it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kernels.gpu.sources import program_text
from kernels.gpu.traits import Traits

EXACT = "-cl-fp32-correctly-rounded-divide-sqrt"


@dataclass(frozen=True, slots=True)
class Built:
    """What became of a kernel.

    Parameters
    ----------
    lanes
        Work-items that take their steps together.
    registers
        Of each work-item, where the compiler says it.
    spilled
        Bytes of global memory that each has instead of registers.
    local_bytes
        Local memory of a group.
    listing
        The instructions, where the compiler writes them.
    """

    lanes: int
    registers: int
    spilled: int
    local_bytes: int
    listing: str


@dataclass(frozen=True, slots=True)
class Compiler:
    """A compiler that needs no GPU.

    Parameters
    ----------
    name, packages
        Its command, and which of Debian's packages have it and what it reads.
    traits
        What its GPUs have in common.
    targets
        GPUs, as it calls them.
    build
        What compiles a text for a target.
    files
        What it reads.
    """

    name: str
    packages: str
    traits: Traits
    targets: tuple[str, ...]
    build: Callable[[str, str], dict[str, Built]]
    files: tuple[Path, ...] = ()

    @property
    def missing(self) -> str:
        """Why it can't be asked, "" where it can."""
        if shutil.which(self.name) and all(file.exists() for file in self.files):
            return ""
        return f"{self.name} is not installed (make test-opencl installs {self.packages})"

    def compile(self, source: str, defines: tuple[tuple[str, str], ...], target: str):
        """Return the kernels of a program by name.

        Raises
        ------
        AssertionError
            With the compiler's log.
        """
        extra = (("HAS_F64", "1"),) if self.traits.has_f64 else ()
        return self.build(program_text(source, (*extra, *defines)), target)


def _run(command: list[str], text: str | None = None, folder: str | None = None) -> str:
    done = subprocess.run(
        command, input=text, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


# ---- Intel's compiler, whose binary says in YAML how kernels are to be started ----------------

MEMORY = re.compile(r"usage: +(?:spill_fill|private|single)_space\s+size: +(\d+)")


def _ocloc(text: str, target: str) -> dict[str, Built]:
    options = f"-cl-std=CL3.0 -w {EXACT}"
    with TemporaryDirectory() as folder:
        Path(folder, "program.cl").write_text(text)
        command = ["ocloc", "compile", "-q", "-file", "program.cl", "-device", target]
        _run([*command, "--format", "zebin", "-options", options], folder=folder)
        (binary,) = Path(folder).glob("*.bin")
        content = binary.read_bytes()
    begin = content.index(b"\nkernels:")
    described = content[begin : content.index(b"\0", begin)].decode()
    kernels = re.split(r"^  - name: +", described, flags=re.MULTILINE)[1:]
    return {
        kernel.split(maxsplit=1)[0]: Built(
            lanes=_number("simd_size", kernel),
            registers=0,
            spilled=sum(map(int, MEMORY.findall(kernel))),
            local_bytes=_number("slm_size", kernel),
            listing="",
        )
        for kernel in kernels
        if "simd_size" in kernel
    }


# ---- AMD's, which is LLVM's with a library of functions ----------------------------------------

BITCODE = Path("/usr/lib/x86_64-linux-gnu/amdgcn/bitcode")


def _amdgcn(text: str, target: str) -> dict[str, Built]:
    listing = _run(
        [
            "clang-15", "-x", "cl", "-cl-std=CL1.2", "-O3", EXACT, "-S", "-o", "-", "-",
            "-target", "amdgcn-amd-amdhsa", f"-mcpu={target}", f"--rocm-device-lib-path={BITCODE}",
            "-Xclang", "-finclude-default-header",
            # A loop that was to be unrolled and isn't waits for each of its loads.
            "-Wno-everything", "-Werror=pass-failed",
        ],
        text,
    )  # fmt: skip
    begin = listing.index("amdhsa.kernels:")
    return {
        _text("name", rest): Built(
            lanes=_number("wavefront_size", rest),
            registers=_number("vgpr_count", rest),
            spilled=_number("private_segment_fixed_size", rest),
            local_bytes=_number("group_segment_fixed_size", rest),
            listing=listing[:begin],
        )
        for rest in re.split(r"^  - ", listing[begin:], flags=re.MULTILINE)
        if "vgpr_count" in rest
    }


def _text(name: str, described: str) -> str:
    (found,) = re.findall(rf"^    \.?{name}: +(\S+)$", described, re.MULTILINE)
    return found


def _number(name: str, described: str) -> int:
    (found,) = re.findall(rf"^ +\.?{name}: +(\d+)$", described, re.MULTILINE) or ["0"]
    return int(found)


def inner_loop(listing: str) -> list[str]:
    """Return the instructions that follow one another of which the most add up products."""
    blocks = re.split(r"^(?:\S+:|; %bb).*$", listing, flags=re.MULTILINE)
    lines = [re.findall(r"^\t([a-z]\w+)", block, re.MULTILINE) for block in blocks]
    return max(lines, key=lambda names: sum("fma" in name for name in names))


COMPILERS = (
    Compiler(
        "ocloc",
        "Debian's intel-opencl-icd",
        Traits("an Intel GPU", False, False, False, True, 512, 512, 64 << 10, 64, 16),
        ("acm-g10", "tgllp", "skl"),
        _ocloc,
    ),
    Compiler(
        "clang-15",
        "Debian's clang-15 and rocm-device-libs",
        Traits("an AMD GPU", False, True, False, False, 36, 256, 64 << 10, 64, 16),
        ("gfx1030", "gfx900", "gfx90a"),
        _amdgcn,
        (BITCODE / "opencl.bc",),
    ),
)
