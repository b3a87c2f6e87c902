"""Read PTX: the part of it that compilers of kernels like ours write."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["BITS", "Block", "Function", "Instruction", "Label", "Module", "Variable", "parse"]

BITS = {"pred": 8}
"""Bits of each type's values; a predicate is a byte of 0 or 1."""
BITS |= {f"{kind}{bits}": bits for kind in "bsu" for bits in (8, 16, 32, 64)}
BITS |= {f"f{bits}": bits for bits in (16, 32, 64)}

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_SPACE = re.compile(r"\s*")
_NAME = r"[\w$%.]+"
_LABEL = re.compile(rf"({_NAME})\s*:\s*")
_DECLARED = re.compile(
    rf"\.(?P<space>reg|param|shared|local|global|const)\s+(?:\.align\s+(?P<align>\d+)\s+)?"
    rf"\.(?P<type>\w+)\s+(?P<name>{_NAME})(?:<(?P<count>\d+)>)?(?:\[(?P<extent>\d*)\])?\s*$"
)
_HEAD = re.compile(
    rf"(?:\.visible\s+|\.weak\s+)*\.(?P<kind>entry|func)\s*"
    rf"(?:\((?P<results>[^()]*)\))?\s*(?P<name>{_NAME})\s*(?:\((?P<parameters>[^()]*)\))?"
    r"\s*(?P<rest>[^{;]*)(?P<end>[{;])"
)
_INSTRUCTION = re.compile(
    rf"(?:@(?P<negated>!?)(?P<guard>{_NAME})\s+)?(?P<opcode>[a-z]\w*(?:\.[\w:]+)*)\s*(?P<rest>.*)$",
    re.DOTALL,
)
_OPERANDS = re.compile(r"(?:\{[^{}]*\}|\[[^\[\]]*\]|\([^()]*\)|[^,{}\[\]()])+")


@dataclass(frozen=True, slots=True)
class Variable:
    """What is declared: registers, a parameter, memory.

    Parameters
    ----------
    space
        ``reg``, ``param``, ``shared``, ``local``, ``global`` or ``const``.
    type
        Of an element, as ``b32``.
    name
        Its own; of several registers the stem.
    count
        Of registers: how many by this stem, 0 for one by this name. Of memory: elements.
    align
        Bytes.
    """

    space: str
    type: str
    name: str
    count: int
    align: int

    @property
    def size(self) -> int:
        """Bytes, of what lies in memory."""
        return max(self.count, 1) * BITS[self.type] // 8


@dataclass(frozen=True, slots=True)
class Label:
    """A place that branches lead to."""

    name: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction, its modifiers in order.

    Parameters
    ----------
    opcode
        As ``ld.global.v4.f32``, split at the points.
    operands
        As written.
    guard
        The predicate that it is done under, if any, with ``!`` where that has to be false.
    """

    opcode: tuple[str, ...]
    operands: tuple[str, ...]
    guard: str = ""

    def __str__(self) -> str:
        return f"{'.'.join(self.opcode)} {', '.join(self.operands)}"


@dataclass(slots=True)
class Block:
    """Statements between braces, with names of their own."""

    variables: list[Variable] = field(default_factory=list)
    statements: list[Block | Label | Instruction] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Function:
    """A kernel, or what kernels call."""

    name: str
    is_kernel: bool
    results: tuple[Variable, ...]
    parameters: tuple[Variable, ...]
    body: Block


@dataclass(frozen=True, slots=True)
class Module:
    """A program."""

    functions: tuple[Function, ...]


def parse(text: str) -> Module:
    """Return a program's functions.

    Raises
    ------
    ValueError
        If something isn't understood.
    """
    text = _COMMENT.sub(" ", text)
    text = re.sub(r"^\s*\.(version|target|address_size)\b[^\n]*", "", text, flags=re.MULTILINE)
    functions, at = [], _skip(text, 0)
    while at < len(text):
        head = _HEAD.match(text, at)
        if head is None:
            raise ValueError(f"not understood in a program: {text[at : at + 80]!r}")
        at = head.end()
        if head["end"] == "{":
            body, at = _block(text, at)
            functions.append(
                Function(
                    head["name"],
                    head["kind"] == "entry",
                    _list(head["results"]),
                    _list(head["parameters"]),
                    body,
                )
            )
        at = _skip(text, at)
    return Module(tuple(functions))


def _skip(text: str, at: int) -> int:
    """Return where the space ends."""
    space = _SPACE.match(text, at)
    assert space
    return space.end()


def _list(text: str | None) -> tuple[Variable, ...]:
    return tuple(_declared(part.strip()) for part in (text or "").split(",") if part.strip())


def _declared(text: str) -> Variable:
    found = _DECLARED.match(text)
    if found is None or found["type"] not in BITS:
        raise ValueError(f"not understood as a declaration: {text!r}")
    count = int(found["count"] or found["extent"] or 0)
    align = int(found["align"] or BITS[found["type"]] // 8)
    return Variable(found["space"], found["type"], found["name"], count, align)


def _block(text: str, at: int) -> tuple[Block, int]:
    """Return the statements up to the closing brace, and where it ends."""
    block = Block()
    while True:
        at = _skip(text, at)
        if text[at] == "}":
            return block, at + 1
        if text[at] == "{":
            inner, at = _block(text, at + 1)
            block.statements.append(inner)
            continue
        label = _LABEL.match(text, at)
        if label:
            block.statements.append(Label(label[1]))
            at = label.end()
            continue
        end = text.index(";", at)
        statement, at = text[at:end].strip(), end + 1
        if statement.startswith(".pragma"):
            continue
        if statement.startswith("."):
            block.variables.append(_declared(statement))
        else:
            block.statements.append(_instruction(statement))


def _instruction(text: str) -> Instruction:
    found = _INSTRUCTION.match(text)
    if found is None:
        raise ValueError(f"not understood as an instruction: {text!r}")
    operands = tuple(part.strip() for part in _OPERANDS.findall(found["rest"]) if part.strip())
    guard = f"{found['negated']}{found['guard']}" if found["guard"] else ""
    return Instruction(tuple(found["opcode"].split(".")), operands, guard)
