"""A problem: everything that decides which kernel may run. Frozen, hashable, JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from dispatch.device_names import dlpack_type
from dispatch.errors import InvalidArgument
from dispatch.tensor import Quantization, TensorSpec

__all__ = ["OPERANDS", "STEPS", "AttributeValue", "EpilogueStep", "Precision", "Problem"]

AttributeValue: TypeAlias = int | float | str | tuple[int, ...] | tuple[float, ...]
Precision: TypeAlias = Literal["highest", "high", "medium"]

OPERANDS: tuple[str, ...] = ("add", "mul")
"""The steps of an epilogue that take an input."""
STEPS: tuple[str, ...] = (
    *OPERANDS,
    *("relu", "sigmoid", "tanh", "silu", "hard_swish", "clip", "hard_sigmoid"),
    *("leaky_relu", "elu", "gelu", "linear"),
)
"""All steps of an epilogue."""


@dataclass(frozen=True, slots=True)
class EpilogueStep:
    """An elementwise operator applied to the first output, in place.

    Parameters
    ----------
    name
        ``add``, ``mul`` (with the input of index `input`), or an activation:
        ``relu``, ``sigmoid``, ``tanh``, ``silu``, ``hard_swish``, ``clip``
        (`alpha` to `beta`), ``hard_sigmoid``, ``leaky_relu``, ``elu``,
        ``gelu`` (`alpha` 1: tanh's approximation), ``linear``
        (``alpha * y + beta``).
    input
        Index into the problem's inputs, or -1.
    """

    name: str
    input: int = -1
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True, slots=True)
class Problem:
    """One call of one operator, without the values.

    Parameters
    ----------
    operator
        The operator's name.
    inputs
        The operator's own inputs (None: an optional one that is absent), then
        those of the epilogue.
    outputs
        What the operator gives.
    attributes
        Complete and canonical, sorted by name.
    epilogue
        What follows on the first output.
    num_operator_inputs
        How many of `inputs` are the operator's own.
    device
        The device's name (`dispatch.devices`).
    device_id
        Which of several devices of that name, 0 for a CPU.
    threads
        An upper bound.
    """

    operator: str
    inputs: tuple[TensorSpec | None, ...]
    outputs: tuple[TensorSpec, ...]
    attributes: tuple[tuple[str, AttributeValue], ...] = ()
    epilogue: tuple[EpilogueStep, ...] = ()
    num_operator_inputs: int = field(default=-1)
    device: str = "cpu"
    precision: Precision = "high"
    deterministic: bool = False
    threads: int = 1
    device_id: int = 0

    def __post_init__(self) -> None:
        if self.num_operator_inputs < 0:
            object.__setattr__(self, "num_operator_inputs", len(self.inputs))

    @property
    def dtype(self) -> str:
        """The dtype that kernels are keyed by: the first present input's, else the output's."""
        for tensor in self.inputs:
            if tensor is not None:
                return tensor.dtype
        return self.outputs[0].dtype

    @property
    def tensors(self) -> tuple[TensorSpec | None, ...]:
        """Inputs, then outputs."""
        return self.inputs + self.outputs

    def attribute(self, name: str) -> AttributeValue:
        """Return an attribute's value."""
        for key, value in self.attributes:
            if key == name:
                return value
        raise KeyError(name)

    def with_layouts(self, layouts: tuple[str, ...]) -> Problem:
        """Return the problem with a layout for each input, then each output; "" leaves it."""
        tensors = [
            tensor.with_layout(layout) if tensor is not None and layout else tensor
            for tensor, layout in zip(self.tensors, layouts, strict=True)
        ]
        outputs = tuple(tensor for tensor in tensors[len(self.inputs) :] if tensor is not None)
        return replace(self, inputs=tuple(tensors[: len(self.inputs)]), outputs=outputs)

    def to_json(self) -> str:
        """Return the canonical one-line JSON form, which `from_json` reads."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form as plain data."""
        return {
            "operator": self.operator,
            "inputs": [None if t is None else _tensor_to_dict(t) for t in self.inputs],
            "operator_inputs": self.num_operator_inputs,
            "outputs": [_tensor_to_dict(t) for t in self.outputs],
            "attributes": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in self.attributes
            },
            "epilogue": [
                {"name": s.name, "input": s.input, "alpha": float(s.alpha), "beta": float(s.beta)}
                for s in self.epilogue
            ],
            "device": self.device,
            "device_type": dlpack_type(self.device),
            "device_id": self.device_id,
            "precision": self.precision,
            "deterministic": self.deterministic,
            "threads": self.threads,
        }

    @staticmethod
    def from_json(text: str) -> Problem:
        """Read what `to_json` wrote.

        Raises
        ------
        InvalidArgument
            If `text` is not JSON or not a problem.
        """
        try:
            return Problem.from_dict(json.loads(text))
        except json.JSONDecodeError as error:
            raise InvalidArgument(f"problem: expected JSON, got an error at {error}") from error

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Problem:
        """Read what `to_dict` gave.

        Raises
        ------
        InvalidArgument
            If a field is missing or of the wrong kind.
        """
        try:
            return Problem(
                operator=str(data["operator"]),
                inputs=tuple(None if t is None else _tensor_from_dict(t) for t in data["inputs"]),
                outputs=tuple(_tensor_from_dict(t) for t in data["outputs"]),
                attributes=tuple(
                    sorted(
                        (str(name), tuple(value) if isinstance(value, list) else value)
                        for name, value in data["attributes"].items()
                    )
                ),
                epilogue=tuple(
                    EpilogueStep(s["name"], s["input"], s["alpha"], s["beta"])
                    for s in data["epilogue"]
                ),
                num_operator_inputs=int(data["operator_inputs"]),
                device=data["device"],
                precision=data["precision"],
                deterministic=data["deterministic"],
                threads=data["threads"],
                device_id=int(data.get("device_id", 0)),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InvalidArgument(
                f"problem: expected the form that Problem.to_json writes, got {error!r}"
            ) from error

    def __str__(self) -> str:
        inputs = " ".join("-" if t is None else str(t) for t in self.inputs)
        outputs = " ".join(map(str, self.outputs))
        epilogue = "".join(f"+{step.name}" for step in self.epilogue)
        attributes = " ".join(
            f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
            for name, value in self.attributes
        )
        return f"{self.operator}{epilogue} {inputs} -> {outputs} {attributes}".rstrip()


def _tensor_to_dict(tensor: TensorSpec) -> dict[str, Any]:
    data: dict[str, Any] = {
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "layout": tensor.layout,
    }
    if tensor.constant:
        data["constant"] = True
    if tensor.quantization is not None:
        data["quantization"] = {
            "axis": tensor.quantization.axis,
            "scales": list(tensor.quantization.scales),
            "zero_points": list(tensor.quantization.zero_points),
        }
    return data


def _tensor_from_dict(data: Mapping[str, Any]) -> TensorSpec:
    quantization = data.get("quantization")
    return TensorSpec(
        dtype=data["dtype"],
        shape=tuple(int(extent) for extent in data["shape"]),
        layout=data["layout"],
        constant=bool(data.get("constant", False)),
        quantization=None
        if quantization is None
        else Quantization(
            tuple(quantization["scales"]), tuple(quantization["zero_points"]), quantization["axis"]
        ),
    )
