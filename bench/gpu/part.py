"""One part, in this process: ``python -m bench.gpu.part NAME DEVICE``; rows go to its output."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from bench.gpu.parts import PARTS


def main() -> None:
    """Measure."""
    name, device = sys.argv[1:]
    assert name in {part.name for part in PARTS}
    output = sys.stdout
    sys.stdout = sys.stderr  # what others print isn't a row

    def emit(row: Mapping[str, Any]) -> None:
        print(json.dumps(row), file=output, flush=True)

    import_module(f"bench.gpu.{name}").measure(device, emit)


if __name__ == "__main__":
    main()
