"""PyTorch: its functions called eagerly, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.engines.base import FunctionRunner, require
from bench.errors import Refused
from dispatch.operator import Array
from dispatch.problem import EpilogueStep, Problem

__all__ = ["engine"]

Build = Callable[[Any, Sequence[Any], Mapping[str, Any]], Callable[[], Any]]


def _conv2d(torch: Any, x: Sequence[Any], a: Mapping[str, Any]) -> Callable[[], Any]:
    top, left, bottom, right = a["pads"]
    if (top, left) != (bottom, right):
        raise Refused("torch: asymmetric padding takes a second call")
    function = torch.nn.functional.conv2d
    return lambda: function(*x[:3], a["strides"], (top, left), a["dilations"], a["groups"])


def _matmul(torch: Any, x: Sequence[Any], a: Mapping[str, Any]) -> Callable[[], Any]:
    left = x[0].mT if a["transpose_a"] else x[0]
    right = x[1].mT if a["transpose_b"] else x[1]
    bias = x[2] if len(x) > 2 else None
    if a["alpha"] != 1.0:
        raise Refused("torch: a scaled product takes a second call")
    if bias is None:
        return lambda: torch.matmul(left, right)
    return lambda: torch.addmm(bias, left, right)


def _linear(torch: Any, x: Sequence[Any], a: Mapping[str, Any]) -> Callable[[], Any]:
    return lambda: torch.nn.functional.linear(*x)


def _max_pool2d(torch: Any, x: Sequence[Any], a: Mapping[str, Any]) -> Callable[[], Any]:
    pads = _symmetric(a)
    function = torch.nn.functional.max_pool2d
    return lambda: function(
        x[0], a["kernel_shape"], a["strides"], pads, a["dilations"], bool(a["ceil_mode"])
    )


def _avg_pool2d(torch: Any, x: Sequence[Any], a: Mapping[str, Any]) -> Callable[[], Any]:
    pads = _symmetric(a)
    function = torch.nn.functional.avg_pool2d
    return lambda: function(
        x[0],
        a["kernel_shape"],
        a["strides"],
        pads,
        bool(a["ceil_mode"]),
        bool(a["count_include_pad"]),
    )


def _reduction(name: str) -> Build:
    def translate(torch: Any, x: Sequence[Any], a: Mapping[str, Any]) -> Callable[[], Any]:
        function = getattr(torch, name)
        return lambda: function(x[0], a["axes"], bool(a["keepdims"]))

    return translate


def _layer_norm(torch: Any, x: Sequence[Any], a: Mapping[str, Any]) -> Callable[[], Any]:
    shape = x[0].shape[a["axis"] :]
    return lambda: torch.nn.functional.layer_norm(x[0], shape, x[1], x[2], a["epsilon"])


def _symmetric(a: Mapping[str, Any]) -> tuple[int, int]:
    top, left, bottom, right = a["pads"]
    if (top, left) != (bottom, right):
        raise Refused("torch: asymmetric padding takes a second call")
    return top, left


def _plain(name: str) -> Build:
    return lambda torch, x, a: lambda: getattr(torch, name)(*x)


def _functional(name: str) -> Build:
    return lambda torch, x, a: lambda: getattr(torch.nn.functional, name)(*x)


_BUILD: Mapping[str, Build] = {
    "conv2d": _conv2d,
    "matmul": _matmul,
    "linear": _linear,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "global_avg_pool2d": lambda torch, x, a: lambda: x[0].mean((2, 3), keepdim=True),
    "sum": _reduction("sum"),
    "mean": _reduction("mean"),
    "max": _reduction("amax"),
    "min": _reduction("amin"),
    "layer_norm": _layer_norm,
    "softmax": lambda torch, x, a: lambda: torch.softmax(x[0], a["axis"]),
    "log_softmax": lambda torch, x, a: lambda: torch.log_softmax(x[0], a["axis"]),
    "hard_swish": _functional("hardswish"),
    "silu": _functional("silu"),
    "gelu": lambda torch, x, a: (
        lambda: torch.nn.functional.gelu(x[0], approximate=a["approximate"])
    ),
    **{
        name: _plain(name)
        for name in (
            "relu", "sigmoid", "tanh", "exp", "log", "sqrt", "rsqrt", "abs", "neg", "erf", "floor",
            "ceil", "round", "reciprocal", "add", "sub", "mul", "div", "maximum", "minimum", "pow",
        )
    },
}  # fmt: skip

_STEPS: Mapping[str, Callable[[Any, EpilogueStep], Callable[[Any], Any]]] = {
    "relu": lambda torch, s: torch.relu_,
    "sigmoid": lambda torch, s: torch.sigmoid_,
    "tanh": lambda torch, s: torch.tanh_,
    "clip": lambda torch, s: lambda y: y.clamp_(s.alpha, s.beta),
    "hard_swish": lambda torch, s: lambda y: torch.nn.functional.hardswish(y, inplace=True),
    "silu": lambda torch, s: lambda y: torch.nn.functional.silu(y, inplace=True),
    "elu": lambda torch, s: lambda y: torch.nn.functional.elu(y, s.alpha, inplace=True),
    "leaky_relu": lambda torch, s: lambda y: torch.nn.functional.leaky_relu_(y, s.alpha),
    "gelu": lambda torch, s: (
        lambda y: torch.nn.functional.gelu(y, approximate="tanh" if s.alpha == 1 else "none")
    ),
    "hard_sigmoid": lambda torch, s: lambda y: y.mul_(s.alpha).add_(s.beta).clamp_(0, 1),
}
"""What follows an operator, in place where PyTorch can."""


class TorchEngine:
    """PyTorch, on the CPU if tensors stay there.

    Parameters
    ----------
    threads
        Of its pool.
    place
        Puts a tensor where it is to be; default: it stays.
    """

    def __init__(self, threads: int, place: Callable[[Any], Any] = lambda tensor: tensor) -> None:
        self._place = place
        self._torch = require("torch", "peers")
        self._torch.set_num_threads(threads)
        self._torch.set_grad_enabled(False)
        self.version = f"torch {self._torch.__version__}"

    def prepare(self, problem: Problem, arrays: Sequence[Array | None]) -> FunctionRunner:
        """Bind a problem's tensors to PyTorch's function."""
        torch = self._torch
        build = _BUILD.get(problem.operator)
        if build is None:
            raise Refused(f"torch: bench has no translation of {problem.operator}")
        tensors = [None if a is None else self._place(self._tensor(a)) for a in arrays]
        own = tensors[: problem.num_operator_inputs]
        if problem.operator != "conv2d":
            own = [t for t in own if t is not None]
        function = build(torch, own, dict(problem.attributes))
        return FunctionRunner(
            self._with_epilogue(problem, function, tensors), _fetch, {"kernel": self.version}
        )

    def _tensor(self, array: Array) -> Any:
        if array.dtype.name == "bfloat16":
            return self._torch.from_numpy(array.view("uint16").copy()).view(self._torch.bfloat16)
        return self._torch.from_numpy(array.copy())

    def _with_epilogue(
        self, problem: Problem, function: Callable[[], Any], tensors: Sequence[Any]
    ) -> Callable[[], Any]:
        steps: list[Callable[[Any], Any]] = []
        for step in problem.epilogue:
            if step.name == "add":
                steps.append(lambda y, operand=tensors[step.input]: y.add_(operand))  # type: ignore[misc]
            elif step.name in _STEPS:
                steps.append(_STEPS[step.name](self._torch, step))
            else:
                raise Refused(f"torch: bench has no translation of an epilogue with {step.name}")
        if not steps:
            return function

        def run() -> Any:
            y = function()
            for step in steps:
                y = step(y)
            return y

        return run


def _fetch(result: Any) -> list[Array]:
    return [result.float().numpy() if result.dtype.is_floating_point else result.numpy()]


def engine(threads: int) -> TorchEngine:
    """Return the engine."""
    return TorchEngine(threads)
