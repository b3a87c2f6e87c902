"""Cases: problems to time, from the shape sets of ``bench/cases`` or from one line of JSON."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from bench.errors import CaseError
from bench.quantized import PRODUCTS, output_attributes, quantized_spec, table_of
from dispatch.arguments import epilogue_of, make_problem
from dispatch.context import active
from dispatch.dtypes import SHORT_NAMES
from dispatch.operator import Operator
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.quantization import STORED
from dispatch.tensor import TensorSpec

__all__ = ["SUFFIX", "Case", "cases_of", "operator_of", "shape_sets"]

SUFFIX = ".toml"
"""Of shape sets that are files."""


@dataclass(frozen=True, slots=True)
class Case:
    """A problem to time.

    Parameters
    ----------
    name
        ``operator/set/number shapes``, unique within a run.
    label
        For the table: the shapes, in a few signs.
    count
        How many times the model that the set stands for calls it.
    problem
        In the logical layouts.
    """

    name: str
    label: str
    count: int
    problem: Problem


def operator_of(name: str) -> Operator:
    """Return an operator's schema.

    Raises
    ------
    CaseError
        If there is none of that name.
    """
    found = operators().get(name)
    if found is None:
        raise CaseError(f"op: expected one of {', '.join(operators())}, got {name!r}")
    return found


def shape_sets() -> dict[str, tuple[str, ...]]:
    """Return the shape sets that come with bench, each with the operators that it has."""
    found = {}
    for entry in resources.files("bench.cases").iterdir():
        if entry.name.endswith(SUFFIX):
            data = tomllib.loads(entry.read_text(encoding="utf-8"))
            found[entry.name.removesuffix(SUFFIX)] = tuple(sorted(_tables(data)))
    return dict(sorted(found.items()))


def _tables(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if isinstance(value, dict)}


def _read(shapes: str) -> Mapping[str, Any]:
    try:
        if shapes.endswith(SUFFIX):
            text = Path(shapes).read_text(encoding="utf-8")
        else:
            text = resources.files("bench.cases").joinpath(shapes + SUFFIX).read_text("utf-8")
    except (OSError, ValueError):
        raise CaseError(
            f"shapes: expected one of {', '.join(shape_sets())}, or a {SUFFIX} file, got {shapes!r}"
        ) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CaseError(f"shapes: {shapes}: expected TOML: {error}") from error


def cases_of(operator: str, shapes: str, dtype: str = "float32") -> list[Case]:
    """Return the cases of a shape set for one operator, under the settings in force.

    Parameters
    ----------
    operator
        The operator's name.
    shapes
        A set's name (`shape_sets`), or a file of the same form.
    dtype
        Of all inputs: a name or a short name of `dispatch.dtypes.SHORT_NAMES`.

    Raises
    ------
    CaseError
        If there is no such set, or it has nothing for the operator.
    InvalidArgument
        If a layer's shapes don't fit the operator.
    """
    schema = operator_of(operator)
    long_names = {short: name for name, short in SHORT_NAMES.items()}
    dtype = long_names.get(dtype, dtype)
    if dtype not in SHORT_NAMES:
        raise CaseError(f"dtype: expected one of {', '.join(SHORT_NAMES.values())}, got {dtype!r}")
    if operator in PRODUCTS and dtype not in STORED:
        raise CaseError(f"dtype: {operator} expects u8 or i8, got {dtype!r}")
    data = _read(shapes)
    table = table_of(operator, _tables(data))
    if table is None:
        raise CaseError(
            f"shapes: {shapes} has layers of {', '.join(_tables(data))}, none of {operator}"
        )
    constant = frozenset(table.get("constant", ()))
    stem = Path(shapes).stem
    return [
        _case(f"{operator}/{stem}/{number:02}", schema, layer, constant, dtype)
        for number, layer in enumerate(table["layers"], 1)
    ]


def _case(
    name: str, schema: Operator, layer: Mapping[str, Any], constant: frozenset[str], dtype: str
) -> Case:
    rest = dict(layer)
    count = int(rest.pop("count", 1))
    activation, residual = rest.pop("activation", None), rest.pop("residual", False)
    specs: list[TensorSpec | None] = []
    for index, declared in enumerate(schema.inputs):
        shape = rest.pop(declared.name, None)
        shapes = shape if declared.variadic and shape is not None else [shape]
        specs += [
            None if s is None else _spec(schema, index, tuple(s), dtype, declared.name in constant)
            for s in shapes
        ]
    unknown = [key for key in rest if key not in schema.attributes]
    if unknown:
        raise CaseError(f"shapes: {name}: {schema.name} has no {', '.join(unknown)}")
    attributes = {
        key: tuple(value) if isinstance(value, list) else value for key, value in rest.items()
    }
    if schema.name in PRODUCTS and specs[1] is not None:
        depth = specs[1].size // max(specs[1].shape[PRODUCTS[schema.name]], 1)
        attributes = {**output_attributes(depth, dtype), **attributes}
    plain = make_problem(schema, tuple(specs), attributes, (), active())
    epilogue = epilogue_of(
        tuple(activation) if isinstance(activation, list) else activation,
        plain.outputs[0] if residual else None,
    )
    problem = plain
    if epilogue is not None:
        operands = tuple(epilogue.operands)
        problem = make_problem(schema, (*specs, *operands), attributes, epilogue.steps, active())
    return Case(f"{name} {label_of(problem)}", label_of(problem), count, problem)


def _spec(
    schema: Operator, index: int, shape: tuple[int, ...], dtype: str, constant: bool
) -> TensorSpec:
    if schema.name in PRODUCTS:
        return quantized_spec(schema, index, shape, dtype, constant)
    return TensorSpec(dtype, shape, constant=constant)


def label_of(problem: Problem) -> str:
    """Return a problem's shapes in a few signs: ``64x56x56 3x3/2 -> 128``."""
    shapes = [t.shape for t in problem.inputs[: problem.num_operator_inputs] if t is not None]
    suffix = "".join(f"+{step.name}" for step in problem.epilogue)
    attributes = dict(problem.attributes)
    if problem.operator in ("conv2d", "qconv2d"):
        x, w = shapes[0], shapes[1]
        stride = attributes["strides"][0]  # type: ignore[index]
        groups = attributes["groups"]
        text = f"{'x'.join(map(str, x[1:] if x[0] == 1 else x))} k{w[2]}x{w[3]}"
        text += f"/{stride}" if stride != 1 else ""
        text += f" g{groups}" if groups != 1 else ""
        return f"{text} → {w[0]}{suffix}"
    return f"{', '.join('x'.join(map(str, s)) or 'scalar' for s in shapes)}{suffix}"
