"""ResNet-50 as a whole: a bound replay beside PyTorch, eager and recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Protocol

import ml_dtypes
import numpy as np

import dispatch
import runtime
from bench.gpu.clock import Clock, Run, wall_seconds
from bench.gpu.parts import Emit, attempt
from bench.gpu.peers import check_close, on_stream, recorded, tensor_of, torch_for
from dispatch.operator import Array

__all__ = [
    "BATCHES",
    "OURS",
    "DispatchWords",
    "Prepared",
    "TorchWords",
    "Words",
    "forward",
    "measure",
    "module_of",
    "parameters",
    "prepared",
]

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))
"""Blocks, width and stride of each stage."""
WIDENING = 4
CLASSES = 1000
BATCHES = (1, 64)
SIZE = 224
SEED = 5
TOLERANCE = 5e-2
TUNE_SECONDS = 40.0
OURS = "dispatch"


class Words(Protocol):
    """The operators in a library's words; parameters are taken in order."""

    def conv(self, x: Any, stride: int, pad: int, relu: bool = True, residual: Any = None) -> Any:
        """Convolve; the residual comes before the activation."""

    def max_pool(self, x: Any) -> Any:
        """Take maxima of 3 x 3, at every second pixel."""

    def head(self, x: Any) -> Any:
        """Return the logits."""


def forward(x: Any, say: Words) -> Any:
    """Return the logits of images, its normalisations folded into the convolutions."""
    x = say.max_pool(say.conv(x, 2, 3))
    for blocks, _, stride in STAGES:
        for block in range(blocks):
            step = 1 if block else stride
            shortcut = x if block else say.conv(x, step, 0, relu=False)
            y = say.conv(say.conv(x, 1, 0), step, 1)
            x = say.conv(y, 1, 0, residual=shortcut)
    return say.head(x)


def _shapes() -> Iterator[tuple[int, ...]]:
    """Yield the filters' shapes in the order in which `forward` takes them, the classes' last."""
    yield 64, 3, 7, 7
    channels = 64
    for blocks, width, _ in STAGES:
        for block in range(blocks):
            wide = WIDENING * width
            if not block:
                yield wide, channels, 1, 1
            yield width, channels, 1, 1
            yield width, width, 3, 3
            yield wide, width, 1, 1
            channels = wide
    yield CLASSES, channels


def parameters(dtype: Any = ml_dtypes.bfloat16) -> list[tuple[Array, Array]]:
    """Return filters and biases, the same for everybody."""
    rng = np.random.default_rng(SEED)
    made = []
    for shape in _shapes():
        scale = np.float32((1.0 / np.prod(shape[1:])) ** 0.5)
        filters = rng.standard_normal(shape, np.float32) * scale
        made.append((filters.astype(dtype), np.zeros(shape[0], dtype)))
    return made


@dataclass(slots=True)
class DispatchWords:
    """Ours."""

    parameters: Iterator[tuple[Any, Any]]

    def conv(self, x: Any, stride: int, pad: int, relu: bool = True, residual: Any = None) -> Any:
        """Convolve; the residual comes before the activation."""
        w, b = next(self.parameters)
        activation = "relu" if relu else None
        given = {"strides": stride, "pads": pad, "activation": activation, "residual": residual}
        return dispatch.conv2d(x, w, b, **given)

    def max_pool(self, x: Any) -> Any:
        """Take maxima of 3 x 3."""
        return dispatch.max_pool2d(x, 3, strides=2, pads=1)

    def head(self, x: Any) -> Any:
        """Return the logits."""
        w, b = next(self.parameters)
        pooled = dispatch.global_avg_pool2d(x)
        return dispatch.linear(dispatch.reshape(pooled, (x.shape[0], w.shape[1])), w, b)


@dataclass(slots=True)
class TorchWords:
    """PyTorch's."""

    torch: Any
    parameters: Iterator[tuple[Any, Any]]

    def conv(self, x: Any, stride: int, pad: int, relu: bool = True, residual: Any = None) -> Any:
        """Convolve; the residual comes before the activation."""
        w, b = next(self.parameters)
        y = self.torch.nn.functional.conv2d(x, w, b, stride, pad)
        y = y if residual is None else y + residual
        return self.torch.relu(y) if relu else y

    def max_pool(self, x: Any) -> Any:
        """Take maxima of 3 x 3."""
        return self.torch.nn.functional.max_pool2d(x, 3, 2, 1)

    def head(self, x: Any) -> Any:
        """Return the logits."""
        w, b = next(self.parameters)
        return self.torch.nn.functional.linear(x.mean((2, 3)), w, b)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch, ready to be timed.

    Parameters
    ----------
    batch
        How many images.
    x
        They, as PyTorch likes them best.
    bound
        The replay.
    """

    batch: int
    x: Any
    bound: Any


def module_of(torch: Any, own: Sequence[tuple[Array, Array]], device: str = "cuda") -> Any:
    """Return PyTorch's module, whose parameters compiled graphs read where they lie.

    What a function holds on to instead is copied before each run of such a graph.
    """

    def parameter(array: Array) -> Any:
        tensor = tensor_of(torch, array, device)
        placed = tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
        return torch.nn.Parameter(placed, requires_grad=False)

    class ResNet50(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.filters, self.biases = (
                torch.nn.ParameterList([parameter(pair[index]) for pair in own])
                for index in range(2)
            )

        def forward(self, x: Any) -> Any:
            pairs = zip(self.filters, self.biases, strict=True)
            return forward(x, TorchWords(torch, iter(pairs)))

    return ResNet50().eval()


def prepared(
    torch: Any,
    device: str,
    own: Sequence[tuple[Array, Array]],
    module: Any,
    batch: int,
    tune: bool = True,
) -> Prepared:
    """Return a batch whose results agree; kernels by measured times, or by expected ones."""
    images = np.random.default_rng(batch).standard_normal((batch, 3, SIZE, SIZE), np.float32)
    given = images.astype(ml_dtypes.bfloat16)
    traced = runtime.trace(lambda x: forward(x, DispatchWords(iter(own))), given)
    replay = traced.compile(device=device, tune=tune, tune_seconds=TUNE_SECONDS)
    bound = replay.bind(tensor_of(torch, given))
    x = tensor_of(torch, given).to(memory_format=torch.channels_last)
    check_close(f"ResNet-50, batch {batch}", bound(), module(x), TOLERANCE)
    return Prepared(batch, x, bound)


def measure(device: str, emit: Emit) -> None:
    """Time both batches beside PyTorch, eager and recorded; what needs no tuning comes first."""
    torch, own = torch_for("high"), parameters()
    module = module_of(torch, own)
    with on_stream(torch, "cuda"):
        for tune, batch in product((False, True), BATCHES):
            case = f"batch {batch}" if tune else f"batch {batch}, untuned"
            row = partial(_row, torch, device, own, module, batch, tune, case)
            attempt(emit, case, row)
        beyond = partial(_beyond, torch, device, own, module, BATCHES[0])
        attempt(emit, f"batch {BATCHES[0]}, one at a time", beyond)


def _row(
    torch: Any,
    device: str,
    own: Sequence[tuple[Array, Array]],
    module: Any,
    batch: int,
    tune: bool,
    case: str,
) -> dict[str, Any]:
    ready = prepared(torch, device, own, module, batch, tune)
    eager = partial(module, ready.x)
    runs = {
        OURS: Run(ready.bound),
        "torch, eager": Run(eager),
        "torch, CUDA graph": recorded(torch, eager, copies=1),
    }
    return Clock(torch).row(case, OURS, runs)


def _beyond(
    torch: Any, device: str, own: Sequence[tuple[Array, Array]], module: Any, batch: int
) -> dict[str, Any]:
    """Return how long a replay takes beyond the device's own work: started, and waited for."""
    bound = prepared(torch, device, own, module, batch).bound
    stream = torch.cuda.current_stream()

    def once() -> None:
        bound()
        stream.synchronize()

    whole, enqueued = wall_seconds(once), wall_seconds(bound)
    stream.synchronize()
    own_work = Clock(torch).seconds(Run(bound), 50)
    return {
        "case": f"batch {batch}, one at a time",
        "seconds": {"wall": whole, "device": own_work, "to enqueue": enqueued},
        "beyond": whole - own_work,
    }
