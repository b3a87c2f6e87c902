"""What each instruction computes, in C.

`expression` gives the value that an instruction writes. Registers are unsigned integers of their
width; operands are read as the instruction's type, and a result is written back by its bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.packs.ptx.parse import BITS, Instruction

__all__ = ["Reader", "Unsupported", "c_type", "expression", "literal", "written"]

Reader = Callable[[str, str], str]
"""Gives an operand as C of a type: ``(operand, type)``."""


class Unsupported(ValueError):
    """An instruction that nobody has written down here."""


def c_type(kind: str) -> str:
    """Return the C type of values of a type: ``s32`` is ``int32_t``."""
    if kind == "pred":
        return "uint8_t"
    if kind[0] == "f":
        return {"f16": "_Float16", "f32": "float", "f64": "double"}[kind]
    return f"{'int' if kind[0] == 's' else 'uint'}{BITS[kind]}_t"


def literal(text: str, kind: str) -> str:
    """Return a number as C of a type.

    Raises
    ------
    Unsupported
        If it isn't one.
    """
    bits = BITS[kind]
    if re.fullmatch(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}", text):
        value = int(text[2:], 16)
    elif re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)U?", text):
        value = int(text.rstrip("U"), 0) & (1 << bits) - 1
    else:
        raise Unsupported(f"not a number: {text!r}")
    number = f"{value:#x}{_suffix(bits)}"
    return f"as_{kind}({number})" if kind[0] == "f" else f"(({c_type(kind)}){number})"


def _suffix(bits: int) -> str:
    return "ull" if bits == 64 else "u"


def written(value: str, kind: str) -> str:
    """Return a value of a type as the bits that a register holds."""
    return f"bits_{kind}({value})" if kind[0] == "f" else value


def expression(instruction: Instruction, read: Reader) -> tuple[str, str]:
    """Return the value that an instruction gives for its first operand, and the value's type.

    Raises
    ------
    Unsupported
        If it isn't known.
    """
    name, *modifiers = instruction.opcode
    given = instruction.operands[1:]
    kind = modifiers[-1] if modifiers else ""
    how = tuple(modifiers[:-1])
    make = _BY_NAME.get(name)
    if make is None or kind not in BITS:
        raise Unsupported(f"not known: {instruction}")
    found = make(how, kind, given, read)
    if found is None:
        raise Unsupported(f"not known: {instruction}")
    return found


Made = tuple[str, str] | None
Maker = Callable[[tuple[str, ...], str, tuple[str, ...], Reader], Made]


def _is_float(kind: str) -> bool:
    return kind[0] == "f"


def _infix(symbol: str, allowed: tuple[tuple[str, ...], ...] = ((), ("rn",))) -> Maker:
    """Integers wrap: they are computed without a sign."""

    def make(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
        if how not in allowed:
            return None
        as_kind = kind if _is_float(kind) or kind == "pred" else f"u{BITS[kind]}"
        a, b = (read(x, as_kind) for x in given)
        return (f"({c_type(as_kind)})({a} {symbol} {b})", as_kind)

    return make


def _function(name: str, allowed: tuple[tuple[str, ...], ...], kinds: tuple[str, ...]) -> Maker:
    """``name_kind(operands)`` of the C side."""

    def make(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
        if how not in allowed or kind not in kinds:
            return None
        operands = ", ".join(read(x, kind) for x in given)
        return f"{'_'.join((name, *how, kind))}({operands})", kind

    return make


def _mul(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    if _is_float(kind):
        return _infix("*")(how, kind, given, read)
    if how == ("lo",):
        wide = f"u{BITS[kind]}"
        a, b = (read(x, wide) for x in given)
        # uint16_t would be promoted to a signed int, which may overflow.
        return f"({c_type(wide)})(1u * {a} * {b})", wide
    if how == ("wide",) and BITS[kind] < 64:
        wide = f"{kind[0]}{2 * BITS[kind]}"
        a, b = (read(x, kind) for x in given)
        return f"(({c_type(wide)}){a} * ({c_type(wide)}){b})", wide
    return None


def _mad(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    product = None if _is_float(kind) else _mul(how, kind, given[:2], read)
    if product is None:
        return None
    value, wide = product
    as_kind = f"u{BITS[wide]}"
    return f"({c_type(as_kind)})({value} + {read(given[2], as_kind)})", as_kind


def _quotient(name: str, symbol: str) -> Maker:
    def make(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
        a, b = (read(x, kind) for x in given)
        if _is_float(kind):
            return (f"({a} / {b})", kind) if (name, how) == ("div", ("rn",)) else None
        checked = f"a_divisor({b}, thread)"
        if how or kind[0] == "b":
            return None
        if kind[0] == "s":  # the one quotient that doesn't fit
            wide = f"(({c_type('s64')}){a} {symbol} ({c_type('s64')}){checked})"
            return (
                f"({c_type(kind)}){wide}" if kind != "s64" else f"{name}_s64({a}, {checked})",
                kind,
            )
        return f"({a} {symbol} {checked})", kind

    return make


def _select(symbol: str, of_numbers: str) -> Maker:
    """Of floats C's function, which takes the number where the other is NaN, as PTX does."""

    def make(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
        if how or kind == "f16" or kind[0] == "b":
            return None
        a, b = (read(x, kind) for x in given)
        if _is_float(kind):
            return f"{of_numbers}{'f' * (kind == 'f32')}({a}, {b})", kind
        return f"({a} {symbol} {b} ? {a} : {b})", kind

    return make


def _neg(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    if how:
        return None
    if _is_float(kind):
        return f"(-{read(given[0], kind)})", kind
    wide = f"u{BITS[kind]}"
    return f"({c_type(wide)})(0u - {read(given[0], wide)})", wide


def _abs(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    if how:
        return None
    a = read(given[0], kind)
    if _is_float(kind):
        return f"__builtin_fabs{'f' if kind == 'f32' else ''}({a})", kind
    wide = f"u{BITS[kind]}"
    unsigned = read(given[0], wide)
    return f"({c_type(wide)})({a} < 0 ? 0u - {unsigned} : {unsigned})", wide


def _not(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    symbol = "!" if kind == "pred" else "~"
    return (f"({c_type(kind)})({symbol}{read(given[0], kind)})", kind) if not how else None


def _shift(symbol: str) -> Maker:
    """Amounts from the width on leave nothing, or the sign."""

    def make(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
        if how or _is_float(kind):
            return None
        bits, amount = BITS[kind], read(given[1], "u32")
        a = read(given[0], kind)
        if symbol == ">>" and kind[0] == "s":
            return f"({c_type(kind)})({a} >> ({amount} < {bits} ? {amount} : {bits - 1}))", kind
        return f"({c_type(kind)})({amount} < {bits} ? {a} {symbol} {amount} : 0)", kind

    return make


_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def _setp(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    if len(how) != 1 or len(given) != 2:
        return None
    (test,) = how
    a, b = (read(x, kind) for x in given)
    if not _is_float(kind):
        return (f"({a} {_COMPARED[test]} {b})", "pred") if test in _COMPARED else None
    unordered = f"__builtin_isunordered({a}, {b})"
    if test == "nan":
        return unordered, "pred"
    if test == "num":
        return f"!{unordered}", "pred"
    if test == "ne":
        return f"(!{unordered} && {a} != {b})", "pred"
    if test in _COMPARED:
        return f"({a} {_COMPARED[test]} {b})", "pred"
    if test.endswith("u") and test[:-1] in _COMPARED:
        return f"({unordered} || {a} {_COMPARED[test[:-1]]} {b})", "pred"
    return None


def _selp(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    bits = f"b{BITS[kind]}"
    a, b = (read(x, bits) for x in given[:2])
    return (f"({read(given[2], 'pred')} ? {a} : {b})", bits) if not how else None


_ROUNDED = {"rni": "rint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}


def _cvt(how: tuple[str, ...], source: str, given: tuple[str, ...], read: Reader) -> Made:
    *options, target = how
    a, chosen = read(given[0], source), tuple(options)
    if _is_float(target) and _is_float(source):
        suffix = "f" if source == "f32" else ""
        if target == source and len(chosen) == 1 and chosen[0] in _ROUNDED:
            return f"__builtin_{_ROUNDED[chosen[0]]}{suffix}({a})", target
        if target == source and chosen == ("sat",):
            return f"saturated_{target}({a})", target
        if BITS[target] > BITS[source] and not chosen:
            return f"(({c_type(target)}){a})", target
        if BITS[target] < BITS[source] and chosen == ("rn",):
            return f"(({c_type(target)}){a})", target
        return None
    if _is_float(target):
        return (f"(({c_type(target)}){a})", target) if chosen == ("rn",) else None
    if _is_float(source):
        if chosen != ("rzi",) or source == "f16":
            return None
        return f"{target}_of_f64({a})", target
    return (f"(({c_type(target)}){a})", target) if not chosen else None


def _fma(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    operands = ", ".join(read(x, kind) for x in given)
    suffix = {"f32": "f", "f64": ""}.get(kind)
    if how == ("rn",) and suffix is not None:
        return f"__builtin_fma{suffix}({operands})", kind
    return (f"fma_rm_f32({operands})", kind) if (how, kind) == (("rm",), "f32") else None


def _rcp(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    a = read(given[0], kind)
    if how == ("rn",):
        return f"(1 / {a})", kind
    return (f"rcp_approx_ftz_{kind}({a})", kind) if how == ("approx", "ftz") else None


def _sqrt(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    suffix = {"f32": "f", "f64": ""}.get(kind)
    return (f"__builtin_sqrt{suffix}({read(given[0], kind)})", kind) if how == ("rn",) else None


def _copysign(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    """The sign of the first, the size of the second: the other way round than in C."""
    sign, size = (read(x, kind) for x in given)
    suffix = {"f32": "f", "f64": ""}.get(kind)
    return (f"__builtin_copysign{suffix}({size}, {sign})", kind) if not how else None


def _dp4a(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    """``dp4a.atype.btype``: the last modifier is the second operand's."""
    if how != ("s32",) or kind != "s32":
        return None
    return f"dp4a_s32({', '.join(read(x, 'u32') for x in given)})", "u32"


def _bfi(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    if how or kind not in ("b32", "b64"):
        return None
    a, b = (read(x, kind) for x in given[:2])
    start, count = (read(x, "u32") for x in given[2:])
    return f"bfi_{kind}({a}, {b}, {start}, {count})", kind


def _prmt(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    if how or kind != "b32":
        return None
    return f"prmt_b32({', '.join(read(x, 'u32') for x in given)})", "u32"


def _mov(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    bits = kind if kind == "pred" else f"b{BITS[kind]}"
    if how:
        return None
    if given[0].startswith("{"):
        low, high = (x.strip() for x in given[0].strip("{}").split(","))
        half, whole = f"b{BITS[kind] // 2}", c_type(f"u{BITS[kind]}")
        joined = f"({whole})({read(low, half)} | ({whole}){read(high, half)} << {BITS[kind] // 2})"
        return joined, bits
    return read(given[0], bits), bits


def _cvta(how: tuple[str, ...], kind: str, given: tuple[str, ...], read: Reader) -> Made:
    """An address of global memory is the same as a generic one; shared memory has its own."""
    return (read(given[0], kind), kind) if how == ("to", "global") else None


_BY_NAME: dict[str, Maker] = {
    "add": _infix("+"),
    "sub": _infix("-"),
    "and": _infix("&", ((),)),
    "or": _infix("|", ((),)),
    "xor": _infix("^", ((),)),
    "mul": _mul,
    "mad": _mad,
    "div": _quotient("div", "/"),
    "rem": _quotient("rem", "%"),
    "min": _select("<", "fmin"),
    "max": _select(">", "fmax"),
    "neg": _neg,
    "abs": _abs,
    "not": _not,
    "shl": _shift("<<"),
    "shr": _shift(">>"),
    "setp": _setp,
    "selp": _selp,
    "cvt": _cvt,
    "cvta": _cvta,
    "fma": _fma,
    "rcp": _rcp,
    "sqrt": _sqrt,
    "ex2": _function("ex2", (("approx",), ("approx", "ftz")), ("f32",)),
    "copysign": _copysign,
    "dp4a": _dp4a,
    "bfi": _bfi,
    "prmt": _prmt,
    "mov": _mov,
}
