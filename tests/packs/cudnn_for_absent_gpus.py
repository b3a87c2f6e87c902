"""Ask cuDNN which problems it has engines for on GPUs that aren't here.

Run in a process of its own, since it puts a driver without devices in the libraries' way:

    python -m tests.packs.cudnn_for_absent_gpus CAPABILITY answer < problems > answers

One problem as JSON a line comes in; for each a line goes out: "ok", or why not; with ``plans``
cuDNN's plans, with ``left`` what of the epilogue is left.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

MARK = "DISPATCH_TEST_ABSENT_GPU"

SHARED = {
    "maxGridSize": [2**31 - 1, 65535, 65535],
    "maxBlockSize": [1024, 1024, 64],
    "regsPerBlock": 65536,
    "warpSize": 32,
    "maxSharedMemoryPerBlock": 48 << 10,
    "oversizedSharedMemoryPerBlock": 0,
    "reservedSharedMemoryPerBlock": 1024,
    "maxRegistersPerSM": 65536,
    "maxCtasPerSM": 32,
    "maxThreadsPerBlock": 1024,
    "maxThreadsPerSM": 2048,
    "smCountOrigin": 0,
    "pciDeviceId": 0,
    "cudaDeviceId": 0,
    "isTccDriver": 0,
    "supportCoopLaunch": 1,
    "smClockRateKHz": 1500000,
    "memClockRateKHz": 2500000,
    "memoryBusWidth": 5120,
    "driverVer": 13000,
}
GPUS = {
    75: ("Tesla T4", 40, 64 << 10, 4 << 20, 16 << 30),
    80: ("NVIDIA A100", 108, 163 << 10, 40 << 20, 80 << 30),
    90: ("NVIDIA H200", 132, 227 << 10, 60 << 20, 140 << 30),
    100: ("NVIDIA B200", 148, 227 << 10, 126 << 20, 180 << 30),
}
"""By compute capability: a GPU's name, its multiprocessors, the shared memory that a block may ask
for, its cache and its memory."""


def description(capability: int) -> str:
    """Return a GPU as cuDNN's JSON describes one."""
    name, processors, shared, cache, memory = GPUS[capability]
    own: dict[str, Any] = {
        "deviceName": name,
        "deviceVer": 10 * capability,
        "multiProcessorCount": processors,
        "maxSharedMemoryPerBlockOptin": shared,
        "l2CacheSize": cache,
        "totalGlobalMem": memory,
    }
    return json.dumps({**SHARED, **own})


def libraries() -> list[Path]:
    """Return the folders of cuDNN's and the compiler's libraries."""
    found = []
    for wheel, name in (
        ("nvidia-cudnn-cu13", "libcudnn.so"),
        ("nvidia-cuda-nvrtc", "libnvrtc.so"),
        ("nvidia-cuda-runtime", "libcudart.so"),
    ):
        files = metadata.files(wheel) or []
        found.append(next(Path(str(f.locate())).parent for f in files if f.name.startswith(name)))
    return found


def driver_without_devices(folder: Path) -> None:
    """Build a libcuda whose every function says that there is no device."""
    names: set[str] = set()
    for path in (p for f in libraries() for p in f.iterdir()):
        if re.match(r"libcudnn_(graph|engines_runtime|engines_tensor)|libcudart", path.name):
            names |= {n.decode() for n in re.findall(rb"\0(cu[A-Z]\w+)(?=\0)", path.read_bytes())}
    names = {n for n in names if not re.match(r"cuDNN|cuBLAS", n)}
    source = folder / "driver.c"
    source.write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in sorted(names)))
    options = ["-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1"]
    subprocess.run(["cc", *options, "-o", folder / "libcuda.so.1", source], check=True)


def answer(problem: Any, properties: Any, capability: int) -> str:
    """Return "ok" if cuDNN has an engine, else why not."""
    from dispatch.answer import No
    from kernels.cudnn.frontend import supported
    from kernels.cudnn.graph_kernel import described

    graph = described(problem)
    found = graph if isinstance(graph, No) else supported(graph, properties, capability)
    return f"{found.code.name} {found}" if isinstance(found, No) else "ok"


def plans(problem: Any, properties: Any, capability: int) -> str:
    """Return the workspace of each of cuDNN's plans, by a digest of the plan."""
    from dispatch.answer import No
    from kernels.cudnn.frontend import planned
    from kernels.cudnn.graph_kernel import described

    found = planned(described(problem), properties, capability)
    assert not isinstance(found, No)
    return json.dumps([(hashlib.sha256(p.data).hexdigest(), p.workspace) for p in found])


def left(problem: Any, properties: Any, capability: int) -> str:
    """Return what is left of bias and steps when cuDNN takes as much as it has a plan for."""
    from dispatch.answer import No
    from kernels.cudnn.frontend import planned
    from kernels.cudnn.operations import OPERATIONS
    from kernels.cudnn.remainder import partings

    for parted in partings(problem):
        graph = OPERATIONS[problem.operator](parted.first)
        if isinstance(graph, No) or isinstance(planned(graph, properties, capability), No):
            continue
        return json.dumps([*["bias"] * parted.bias, *(step.name for step in parted.steps)])
    return "nothing fits"


ASKED = {"answer": answer, "plans": plans, "left": left}


def main() -> None:
    """Start again with the driver in the way, or answer."""
    if MARK not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            driver_without_devices(Path(folder))
            paths = os.pathsep.join(map(str, [folder, *libraries()]))
            environment = {**os.environ, MARK: "1", "LD_LIBRARY_PATH": paths}
            command = [sys.executable, "-m", "tests.packs.cudnn_for_absent_gpus", *sys.argv[1:]]
            sys.exit(subprocess.run(command, env=environment, check=False).returncode)
    from dispatch.problem import Problem
    from kernels.cudnn.library import frontend

    capability, ask = int(sys.argv[1]), ASKED[sys.argv[2]]
    properties = frontend().create_device_properties(description(capability))
    for line in sys.stdin:
        print(ask(Problem.from_json(line), properties, capability).replace("\n", " "))


if __name__ == "__main__":
    main()
