"""A replay's runs on arrays that stay the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from dispatch.arrays import to_numpy
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.operator import Array
from dispatch.tensor import TensorSpec

__all__ = ["BoundReplay", "host_outputs", "refuse_copy"]


class BoundReplay:
    """A replay bound to arrays; each call runs it on what they hold then.

    Made by `Replay.bind`. One thread at a time may call it.

    Parameters
    ----------
    run
        Runs, or enqueues the run.
    inputs
        What it reads, in order.
    outputs
        What it writes, in the form of what the traced function returned.
    """

    __slots__ = ("_run", "inputs", "outputs")

    def __init__(self, run: Callable[[], None], inputs: tuple[Any, ...], outputs: Any) -> None:
        self._run, self.inputs, self.outputs = run, inputs, outputs

    def __call__(self) -> Any:
        """Run; return `outputs`.

        Raises
        ------
        KernelFailed
            A kernel reported a failure.
        """
        self._run()
        return self.outputs


def refuse_copy(name: str, array: Array) -> NoReturn:
    """Raise for an input that would have to be copied to be read.

    Raises
    ------
    InvalidArgument
        Always.
    """
    raise InvalidArgument(
        f"{name}: expected a dense, aligned array, whose address stays, got shape {array.shape} "
        f"with strides {array.strides}"
    )


def host_outputs(
    targets: Sequence[Any] | None,
    outputs: Sequence[tuple[str, TensorSpec]],
    inputs: Sequence[Array],
) -> list[Array]:
    """Return NumPy arrays to write: new ones, or over what the caller gave.

    Raises
    ------
    InvalidArgument, UnsupportedDtype
        If what he gave doesn't fit.
    """
    if targets is None:
        return [np.empty(spec.shape, numpy_dtype(spec.dtype)) for _, spec in outputs]
    found: list[Array] = []
    for target, (name, spec) in zip(targets, outputs, strict=True):
        array = to_numpy(target, f"out: {name}")
        if array.shape != spec.shape:
            raise InvalidArgument(f"out: {name}: expected shape {spec.shape}, got {array.shape}")
        if array.dtype != numpy_dtype(spec.dtype):
            got = dtype_name(array.dtype)
            raise UnsupportedDtype(f"out: {name}: expected dtype {spec.dtype}, got {got}")
        flags = array.flags
        if not (flags.c_contiguous and flags.aligned and flags.writeable):
            raise InvalidArgument(f"out: {name}: expected a dense, aligned, writeable array")
        if any(np.may_share_memory(array, other) for other in (*inputs, *found)):
            raise InvalidArgument(
                f"out: {name}: expected an array apart from the other outputs and the inputs"
            )
        found.append(array)
    return found
