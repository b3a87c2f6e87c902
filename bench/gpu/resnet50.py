"""ResNet-50 as a whole: a bound replay beside PyTorch, eager, recorded and compiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import ml_dtypes
import numpy as np

import dispatch
import runtime
from bench.gpu.clock import Clock, Run, wall_seconds
from bench.gpu.parts import Emit
from bench.gpu.peers import check_close, compiled, on_stream, recorded, tensor_of, torch_for
from dispatch.operator import Array

__all__ = ["DispatchWords", "Words", "forward", "measure", "parameters"]

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


def measure(device: str, emit: Emit) -> None:
    """Time both batches; what takes long to compile comes last."""
    torch = torch_for("high")
    own = parameters()
    last = {"memory_format": torch.channels_last}
    theirs = [
        (w.to(**last) if w.dim() == 4 else w, b)
        for w, b in ((tensor_of(torch, w), tensor_of(torch, b)) for w, b in own)
    ]

    def function(x: Any) -> Any:
        return forward(x, TorchWords(torch, iter(theirs)))

    with on_stream(torch, "cuda"):
        prepared = []
        for batch in BATCHES:
            x, bound = _prepared(torch, device, own, function, last, batch)
            prepared.append((batch, x, bound))
            eager = partial(function, x)
            runs = {
                OURS: Run(bound),
                "torch, eager": Run(eager),
                "torch, CUDA graph": recorded(torch, eager, copies=1),
            }
            emit(Clock(torch).row(f"batch {batch}", OURS, runs))
        emit(_beyond(torch, *prepared[0][::2]))
        for batch, x, bound in prepared:
            runs = {OURS: Run(bound), "torch.compile": compiled(torch, function, x)}
            emit(Clock(torch).row(f"batch {batch}, compiled", OURS, runs))


def _prepared(
    torch: Any,
    device: str,
    own: Sequence[tuple[Array, Array]],
    function: Any,
    last: dict[str, Any],
    batch: int,
) -> tuple[Any, Any]:
    """Return PyTorch's images and the bound replay, whose results agree."""
    images = np.random.default_rng(batch).standard_normal((batch, 3, SIZE, SIZE), np.float32)
    given = images.astype(ml_dtypes.bfloat16)
    traced = runtime.trace(lambda x: forward(x, DispatchWords(iter(own))), given)
    replay = traced.compile(device=device, tune=True, tune_seconds=TUNE_SECONDS)
    bound = replay.bind(tensor_of(torch, given))
    x = tensor_of(torch, given).to(**last)
    check_close(f"ResNet-50, batch {batch}", bound(), function(x), TOLERANCE)
    return x, bound


def _beyond(torch: Any, batch: int, bound: Any) -> dict[str, Any]:
    """Return how long a replay takes beyond the device's own work: started, and waited for."""
    stream = torch.cuda.current_stream()

    def once() -> None:
        bound()
        stream.synchronize()

    whole, enqueued = wall_seconds(once), wall_seconds(bound)
    stream.synchronize()
    device = Clock(torch).seconds(Run(bound), 50)
    return {
        "case": f"batch {batch}, one at a time",
        "seconds": {"wall": whole, "device": device, "to enqueue": enqueued},
        "beyond": whole - device,
    }
