from collections.abc import Callable
from typing import Any

def call(
    operator: Any,
    inputs: tuple[Any, ...],
    attributes: tuple[Any, ...],
    out: Any = None,
    epilogue: Any = None,
    /,
) -> Any: ...
def keep(
    operator: Any,
    setting: Any,
    inputs: tuple[Any, ...],
    attributes: tuple[Any, ...],
    steps: tuple[Any, ...],
    handle: int,
    fixed: tuple[int, ...],
    like: Any,
    may_overwrite: int,
    quantization: Any,
    owner: Any,
    /,
) -> None: ...
def forget() -> None: ...
def setup(
    run: int,
    current: Callable[[], Any],
    unset: Callable[[], Any],
    constant: type,
    quantized: type,
    others: Callable[..., Any],
    /,
) -> None: ...
