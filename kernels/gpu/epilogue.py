"""Epilogues as statements of src/epilogue.h."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dispatch.answer import No, NoCode
from dispatch.problem import EpilogueStep, Problem

__all__ = ["NONE", "Epilogue", "epilogue_of"]

MAX_OPERANDS = 2

_ACTIVATIONS: Mapping[str, str] = {
    "relu": "relu_of(value)",
    "sigmoid": "sigmoid_of(value)",
    "tanh": "tanh_of(value)",
    "silu": "silu_of(value)",
    "hard_swish": "hard_swish_of(value)",
    "gelu": "gelu_of(value)",
    "clip": "clip_of(value, {alpha}, {beta})",
    "hard_sigmoid": "hard_sigmoid_of(value, {alpha}, {beta})",
    "leaky_relu": "leaky_relu_of(value, {alpha})",
    "elu": "elu_of(value, {alpha})",
    "linear": "linear_of(value, {alpha}, {beta})",
}


@dataclass(frozen=True, slots=True)
class Epilogue:
    """What a kernel with an epilogue is built and launched with.

    Parameters
    ----------
    defines
        The statements, and how many operands and numbers they use.
    numbers
        Of the kernel's struct, one at least.
    arguments
        The operands' buffers.
    """

    defines: Mapping[str, str]
    numbers: tuple[float, ...]
    arguments: tuple[int, ...]


NONE = Epilogue({"EPILOGUE": "", "EPILOGUE_OPERANDS": "0", "NUMBERS": "1"}, (0.0,), ())
"""No epilogue."""


def epilogue_of(problem: Problem) -> Epilogue | No:
    """Return a problem's epilogue, or refuse it: of integers, or with too many operands."""
    statements: list[str] = []
    numbers: list[float] = []
    arguments: list[int] = []
    if problem.epilogue and "float" not in problem.dtype:
        return No(NoCode.EPILOGUE, "epilogue", f"none for {problem.dtype}")
    for step in problem.epilogue:
        if step.input >= 0:
            operand = f"LOAD(COMPUTED, e{len(arguments)}, at)"
            arguments.append(step.input)
            statements.append(f"value {'+' if step.name == 'add' else '*'}= {operand};")
            continue
        statements.append(f"value = {_activation(step, len(numbers))};")
        numbers += [step.alpha, step.beta]
    if len(arguments) > MAX_OPERANDS:
        return No(NoCode.EPILOGUE, "operands", f"<= {MAX_OPERANDS}", str(len(arguments)))
    defines = {
        "EPILOGUE": " ".join(statements),
        "EPILOGUE_OPERANDS": str(len(arguments)),
        "NUMBERS": str(max(len(numbers), 1)),
    }
    return Epilogue(defines, tuple(numbers) or (0.0,), tuple(arguments))


def _activation(step: EpilogueStep, index: int) -> str:
    if step.name == "gelu" and step.alpha == 1.0:
        return "gelu_tanh_of(value)"
    return _ACTIVATIONS[step.name].format(
        alpha=f"p.numbers[{index}]", beta=f"p.numbers[{index + 1}]"
    )
