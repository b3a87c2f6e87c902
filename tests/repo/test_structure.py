"""What holds the house together: the direction of imports, and vendors' names kept to packs."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dispatch", "kernels", "runtime", "bench")
MAY_IMPORT = {
    "dispatch": {"dispatch"},
    "kernels": {"dispatch"},
    "runtime": {"dispatch", "runtime"},
    "bench": {"dispatch", "runtime", "bench"},
}
SHARED = {"kernels.gpu"}
"""Of the packs here: kernels that several of them build."""
VENDOR_NAMES = re.compile(
    r"mkldnn|onednn|dnnl|cudnn|cublas|cutlass|arm_compute|armnn|qnnpack|xnnpack|clblast",
    re.IGNORECASE,
)
DEVICE_NAMES = re.compile(r"\b(intel|nvidia|qualcomm)\b", re.IGNORECASE)
KNOWS_DEVICES = {"dispatch/devices.py"}


def files(*suffixes: str) -> list[Path]:
    return [
        path
        for package in PACKAGES
        for suffix in suffixes
        for path in sorted((ROOT / package).rglob(f"*{suffix}"))
        if "__pycache__" not in path.parts
    ]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", files(".py"), ids=relative)
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    own = {f"kernels.{path.relative_to(ROOT).parts[1]}", *SHARED} if package == "kernels" else set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        for name in names:
            top = name.partition(".")[0]
            if top in PACKAGES and not any(name.startswith(o) for o in own):
                assert top in MAY_IMPORT[package], f"{relative(path)}:{node.lineno} imports {name}"


@pytest.mark.parametrize(
    "path",
    [p for p in files(".py", ".c", ".h") if p.relative_to(ROOT).parts[0] != "kernels"],
    ids=relative,
)
def test_vendors_are_named_in_packs_alone(path: Path) -> None:
    found = VENDOR_NAMES.search(path.read_text())
    assert not found, f"{relative(path)} names {found and found[0]}"


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in files(".py", ".c", ".h")
        if p.relative_to(ROOT).parts[0] in ("dispatch", "runtime")
    ],
    ids=relative,
)
def test_devices_are_named_in_one_place(path: Path) -> None:
    if relative(path) in KNOWS_DEVICES:
        return
    found = DEVICE_NAMES.search(path.read_text())
    assert not found, f"{relative(path)} names {found and found[0]}"


def test_kernels_is_a_namespace_package() -> None:
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_the_contract_includes_nothing_but_the_c_library() -> None:
    header = (ROOT / "dispatch" / "include" / "kernel_pack.h").read_text()
    assert set(re.findall(r"#include\s+[<\"]([^>\"]+)", header)) == {"stddef.h", "stdint.h"}


def test_intrinsics_stay_in_the_level_headers() -> None:
    for path in (ROOT / "kernels" / "portable" / "src").rglob("*.[ch]"):
        if path.name.startswith("level_"):
            continue
        found = re.search(
            r"\b_mm\d*_|immintrin|arm_neon|\bv(ld|st|mla|fma)\w*q_f32", path.read_text()
        )
        assert not found, f"{relative(path)} uses {found and found[0]}"
