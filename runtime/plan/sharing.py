"""Memory that tensors share: parts of a concatenation, pieces of a split, work in place."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from dispatch.tensor import TensorSpec
from runtime.plan.options import contiguous
from runtime.plan.program import Program, Step, Tensor

__all__ = ["join_concats", "last_uses", "split_in_place", "work_in_place"]


def join_concats(program: Program) -> None:
    """Let the inputs of a concatenation be made where its output lies, and drop the step."""
    outputs = {id(t.root()[0]) for _, t in program.outputs}
    program.steps[:] = [
        step
        for step in program.steps
        if step.option.problem.operator != "concat" or not _join(step, outputs, program.alignment)
    ]


def _join(step: Step, outputs: set[int], alignment: int) -> bool:
    (whole,) = step.outputs
    parts = [t for t in step.inputs if t is not None]
    axis = step.option.problem.attribute("axis")
    assert isinstance(axis, int)
    specs = [p.spec for p in parts]
    if id(whole) in outputs or not contiguous(whole.spec, specs, axis):
        return False
    starts = _starts(specs, alignment)
    if starts is None:
        return False
    roots = [p.root() for p in parts]
    if len({id(root) for root, _ in roots}) != len(parts):
        return False
    for part, (root, offset) in zip(parts, roots, strict=True):
        free = root.kind == "made" and id(root) not in outputs and root is not whole
        if not free or offset or root.spec.nbytes != part.spec.nbytes:
            return False
    for start, (root, _) in zip(starts, roots, strict=True):
        root.base, root.offset = whole, start
    whole.parts = tuple(parts)
    return True


def split_in_place(program: Program) -> None:
    """Let the outputs of a split be parts of its input, and drop the step."""
    outputs = {id(t.root()[0]) for _, t in program.outputs}
    program.steps[:] = [
        step
        for step in program.steps
        if step.option.problem.operator != "split" or not _split(step, outputs, program.alignment)
    ]


def _split(step: Step, outputs: set[int], alignment: int) -> bool:
    (whole,) = step.inputs
    assert whole is not None
    axis = step.option.problem.attribute("axis")
    assert isinstance(axis, int)
    root, _ = whole.root()
    specs = [t.spec for t in step.outputs]
    if root.kind != "made" or id(root) in outputs or not contiguous(whole.spec, specs, axis):
        return False
    if any(t.base is not None or id(t) in outputs for t in step.outputs):
        return False
    starts = _starts(specs, alignment)
    if starts is None:
        return False
    for part, start in zip(step.outputs, starts, strict=True):
        part.base, part.offset = whole, start
    return True


def _starts(parts: Sequence[TensorSpec], alignment: int) -> list[int] | None:
    """Return where each of tensors in a row begins, None if one mustn't begin there."""
    starts = [0, *itertools.accumulate(p.nbytes for p in parts[:-1])]
    return None if any(start % alignment for start in starts) else starts


def last_uses(program: Program) -> dict[int, int]:
    """Return, by the id of each root, the last step that reads it; beyond all steps for outputs."""
    last: dict[int, int] = {}
    for index, step in enumerate(program.steps):
        for tensor in (*step.inputs, *step.outputs):
            if tensor is not None:
                last[id(tensor.root()[0])] = index
    for _, tensor in program.outputs:
        last[id(tensor.root()[0])] = len(program.steps)
    return last


def work_in_place(program: Program) -> None:
    """Let a step write its first output over an input that nothing reads afterwards."""
    outputs = {id(t.root()[0]) for _, t in program.outputs}
    last = last_uses(program)
    divided = _divided(program)
    mixed: set[int] = set()
    for index, step in enumerate(program.steps):
        made = step.outputs[0]
        for position in sorted(step.option.answer.may_overwrite):
            tensor = step.inputs[position]
            if tensor is not None and _overwritable(step, tensor, made, index, last):
                root, offset = tensor.root()
                # An output of the plan has no parts of its own.
                undivided = id(root) not in divided or id(made.root()[0]) not in outputs
                whole = root.spec.nbytes == made.spec.nbytes and not offset and undivided
                # Nor does it hold tensors of another dtype on the way.
                alike = root.spec.dtype == made.spec.dtype and id(root) not in mixed
                end = max(last[id(root)], last[id(made.root()[0])])
                if made.base is None and id(made) not in outputs:
                    made.base, made.offset = tensor, 0
                    if root.spec.dtype != made.spec.dtype:
                        mixed.add(id(root))
                elif whole and alike:
                    root.base, root.offset = made, 0
                    if id(root) in divided:
                        divided.add(id(made.root()[0]))
                else:
                    continue
                last[id(made.root()[0])] = end
                break


def _divided(program: Program) -> set[int]:
    """Return the ids of the roots of which some tensor is a part."""
    found = set()
    for step in program.steps:
        for tensor in (*step.inputs, *step.outputs):
            if tensor is not None:
                root, _ = tensor.root()
                if tensor.spec.nbytes != root.spec.nbytes:
                    found.add(id(root))
    return found


def _overwritable(
    step: Step, tensor: Tensor, made: Tensor, index: int, last: dict[int, int]
) -> bool:
    root, offset = tensor.root()
    if root.kind != "made" or last[id(root)] != index or root is made.root()[0]:
        return False
    if tensor.spec.nbytes != made.spec.nbytes:
        return False
    return all(
        other is None
        or other.root()[0] is not root
        or (other.root()[1] == offset and position in step.option.answer.may_overwrite)
        for position, other in enumerate(step.inputs)
    ) and all(other is made or other.root()[0] is not root for other in step.outputs)
