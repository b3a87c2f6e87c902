"""What holds the house together: the direction of imports, and vendors' names kept to packs."""

import ast
import re
from collections.abc import Collection
from graphlib import CycleError, TopologicalSorter
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
KNOWS_DEVICES = {"dispatch/device_names.py"}


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


METHODS = {
    ("dispatch.quantized", "dispatch.ops.dequantize_linear"),
    ("runtime.tracer", "runtime.functions"),
    ("runtime.tracer", "runtime.indexing"),
    ("runtime.tracer", "runtime.ufuncs"),
    ("runtime.trace", "runtime.artifact"),
    ("runtime.trace", "runtime.replay"),
    ("runtime.trace", "runtime.summary"),
}
"""Values with methods that call what takes such values: `QuantizedArray`, `Tracer`, `Trace`."""


def imported(path: Path, modules: Collection[str]) -> set[str]:
    """Which of these modules a file imports at its top or in a function, not for types alone."""
    names: set[str] = set()
    stack: list[ast.AST] = [ast.parse(path.read_text())]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{relative(path)}:{node.lineno}: a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names |= {name if name in modules else node.module or "" for name in inner}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        stack += ast.iter_child_nodes(node)
    return names & set(modules)


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
        for p in files(".py")
    }
    imports = {name: imported(path, modules) - {name} for name, path in modules.items()}
    assert all(end in imports[start] for start, end in METHODS), "a method is there no longer"
    graph = {name: {i for i in to if (name, i) not in METHODS} for name, to in imports.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))
