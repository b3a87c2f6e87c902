"""Write a program that was PTX as C; machine.h has what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.packs.ptx.instructions import (
    Unsupported,
    c_type,
    expression,
    literal,
    written,
)
from tests.packs.ptx.parse import BITS, Block, Function, Instruction, Label, Module, Variable

__all__ = ["translate"]

_PLACES = {
    "%tid": "thread->id",
    "%ntid": "block.extent",
    "%ctaid": "block.id",
    "%nctaid": "block.grid",
}
_AXES = {"x": 0, "y": 1, "z": 2}
_WAITS = ("bar", "shfl")


def translate(module: Module) -> str:
    """Return a program in C, whose kernels are functions ``ptx_NAME``.

    Raises
    ------
    ValueError
        If something isn't known.
    """
    shared = _shared_places(module)
    bytes_ = max((place + v.size for v, place in shared.values()), default=0)
    parts = [f"#define PTX_SHARED_BYTES {-(-bytes_ // 4) * 4}", '#include "machine.h"']
    called = [f for f in module.functions if not f.is_kernel]
    parts += [f"{_head(f)};" for f in called]
    for function in module.functions:
        parts.append(_Writer(function, shared).text())
    return "\n".join(parts) + "\n"


def _blocks(block: Block) -> Iterator[Block]:
    yield block
    for statement in block.statements:
        if isinstance(statement, Block):
            yield from _blocks(statement)


def _shared_places(module: Module) -> dict[str, tuple[Variable, int]]:
    """Return each shared variable, and where it begins; names belong to one function each."""
    found: dict[str, tuple[Variable, int]] = {}
    for function in module.functions:
        place = 0
        for block in _blocks(function.body):
            for variable in block.variables:
                if variable.space == "shared":
                    place += -place % variable.align
                    found[variable.name] = variable, place
                    place += variable.size
    return found


def _c_name(name: str) -> str:
    return "v_" + name.replace("%", "").replace("$", "").replace(".", "_")


def _unsigned(kind: str) -> str:
    return "uint8_t" if kind == "pred" else f"uint{BITS[kind]}_t"


def _head(function: Function) -> str:
    """Return the head of what kernels call: results are written through pointers."""
    given = [f"{_unsigned(p.type)} {_c_name(p.name)}" for p in function.parameters]
    results = [f"{_unsigned(r.type)} *{_c_name(r.name)}_at" for r in function.results]
    whole = ", ".join(["struct thread *thread", *given, *results])
    return f"__attribute__((unused)) static void ptx_{function.name}({whole})"


@dataclass(slots=True)
class _Writer:
    """Writes one function."""

    function: Function
    shared: dict[str, tuple[Variable, int]]
    kinds: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    waits: int = 0
    sites: int = 0
    scopes: int = 0

    def text(self) -> str:
        """Return the function."""
        function = self.function
        waits = any(
            isinstance(s, Instruction) and s.opcode[0] in _WAITS
            for block in _blocks(function.body)
            for s in block.statements
        )
        registers = self._registers(function.body, "s->" if waits else "")
        for p in (*function.parameters, *function.results):
            self.kinds[p.name] = p.type
        self._block(function.body)
        if not function.is_kernel:
            results = [f"  {_unsigned(r.type)} {_c_name(r.name)} = 0;" for r in function.results]
            return "\n".join([f"{_head(function)} {{", *results, *registers, *self.lines, "}"])
        name = function.name
        state = ["  struct thread thread;", *(registers if waits else ())]
        resumed = [f"    case {i}: goto resume_{i};" for i in range(1, self.waits + 1)]
        begun = (
            [
                f"  struct {name}_state *s = (struct {name}_state *)thread;",
                "  switch (thread->next) {",
                *resumed,
                "    default: break;",
                "  }",
            ]
            if waits
            else registers
        )
        sizes = "".join(f"{p.size}, " for p in function.parameters)
        return "\n".join(
            [
                f"struct {name}_state {{",
                *state,
                "};",
                f"const unsigned ptx_sizes_{name}[] = {{{sizes}0}};",
                f"static enum status run_{name}(struct thread *thread, void *const *parameters) {{",
                *begun,
                *self.lines,
                "  return DONE;",
                "}",
                f"LAUNCHED_AS({name})",
            ]
        )

    def _registers(self, body: Block, prefix: str) -> list[str]:
        lines = []
        for variable in body.variables:
            if variable.space == "reg":
                names = (
                    [f"{variable.name}{i}" for i in range(variable.count)]
                    if variable.count
                    else [variable.name]
                )
                for name in names:
                    self.kinds[name] = variable.type
                    self.places[name] = prefix + _c_name(name)
                if names:
                    declared = ", ".join(_c_name(name) for name in names)
                    lines.append(f"  {_unsigned(variable.type)} {declared};")
            elif variable.space != "shared":
                raise Unsupported(f"not known: {variable}")
        return lines

    def _block(self, block: Block) -> None:
        for statement in block.statements:
            if isinstance(statement, Label):
                self.lines.append(f"{_c_name(statement.name)}:")
                self.lines.append('  if (!--thread->fuel) fail(thread, "no end of its loops");')
            elif isinstance(statement, Block):
                self._inner(statement)
            else:
                try:
                    done = self._done(statement)
                except ValueError as error:
                    raise ValueError(f"{self.function.name}: {statement}: {error}") from error
                guard = statement.guard
                if guard:
                    truth = f"{'!' if guard[0] == '!' else ''}{self.places[guard.lstrip('!')]}"
                    done = f"if ({truth}) {{ {done} }}"
                self.lines.append(f"  {done}")

    def _inner(self, block: Block) -> None:
        """Write a block whose names are its own."""
        self.scopes += 1
        kinds, places = dict(self.kinds), dict(self.places)
        self.lines.append("  {")
        for variable in block.variables:
            name = f"{_c_name(variable.name)}_{self.scopes}"
            self.kinds[variable.name], self.places[variable.name] = variable.type, name
            if variable.count or variable.space not in ("reg", "param"):
                raise Unsupported(f"not known: {variable}")
            self.lines.append(f"  {_unsigned(variable.type)} {name} = 0; (void){name};")
        self._block(block)
        self.lines.append("  }")
        self.kinds, self.places = kinds, places

    def _done(self, instruction: Instruction) -> str:
        """Return an instruction as a statement."""
        name, operands = instruction.opcode[0], instruction.operands
        match name:
            case "bra":
                return f"goto {_c_name(operands[0])};"
            case "ret" if self.function.is_kernel:
                return "return DONE;"
            case "ret":
                stores = (
                    f"*{_c_name(r.name)}_at = {_c_name(r.name)};" for r in self.function.results
                )
                return f"{' '.join(stores)} return;"
            case "call":
                return self._call(operands)
            case "ld" | "st":
                return self._move(instruction)
            case "atom" | "red":
                return self._raise(instruction)
            case "bar":
                return self._barrier(instruction)
            case "shfl":
                return self._shuffle(instruction)
        value, kind = expression(instruction, self._read)
        return self._write(operands[0], written(value, kind), kind)

    # ---- Operands ----------------------------------------------------------------------------

    def _read(self, operand: str, kind: str) -> str:
        if operand in self.places:
            held, place = self.kinds[operand], self.places[operand]
            if kind == "pred" or held == "pred":
                if kind != held:
                    raise Unsupported(f"{operand} as {kind}")
                return place
            if kind[0] == "f":
                if BITS[held] != BITS[kind]:
                    raise Unsupported(f"{operand} as {kind}")
                return f"as_{kind}({place})"
            return f"(({c_type(kind)}){place})"
        stem, _, axis = operand.partition(".")
        if stem in _PLACES:
            return f"(({c_type(kind)}){_PLACES[stem]}[{_AXES[axis]}])"
        position = self._position(operand)
        if position is not None and self.function.is_kernel:
            return f"(({c_type(kind)})(uintptr_t)parameters[{position}])"
        if operand in self.shared:
            return f"(({c_type(kind)}){self.shared[operand][1]})"
        if kind == "pred":
            return str(int(int(operand) != 0))
        return literal(operand, kind)

    def _write(self, operand: str, value: str, kind: str) -> str:
        """Return a statement that keeps bits; values narrower than a register are extended."""
        if operand.startswith("{"):
            low, high = (x.strip() for x in operand.strip("{}").split(","))
            half = f"uint{BITS[kind] // 2}_t"
            whole = _unsigned(kind)
            return (
                f"{{ const {whole} both_ = {value}; {self.places[low]} = ({half})both_; "
                f"{self.places[high]} = ({half})(both_ >> {BITS[kind] // 2}); }}"
            )
        place, held = self.places[operand], self.kinds[operand]
        if (kind == "pred") != (held == "pred") or BITS[kind] > BITS[held]:
            raise Unsupported(f"{kind} to {operand}")
        return f"{place} = ({_unsigned(held)})({value});"

    def _address(self, operand: str) -> str:
        """Return an address as a number: of a register, or of shared memory, with an offset."""
        base, offset = _base_and_offset(operand)
        return f"({self._read(base, 'u64')} + {literal(str(offset), 'u64')})"

    # ---- Memory ------------------------------------------------------------------------------

    def _move(self, instruction: Instruction) -> str:
        """Return a load or a store, of several elements that lie one after the other."""
        name, space, *how, kind = instruction.opcode
        writes = name == "st"
        # A store names its address first, a load last.
        address, values = instruction.operands[:: 1 if writes else -1]
        names = [x.strip() for x in values.strip("{}").split(",")]
        if [h for h in how if h not in (f"v{len(names)}", "nc")]:
            raise Unsupported(f"{how} of {len(names)}")
        step = BITS[kind] // 8
        as_kind = kind if kind[0] == "s" and not writes else f"u{BITS[kind]}"
        begun = self._begun(space, address, step * len(names), step, writes)
        done = (
            f"STORE_AT({c_type(as_kind)}, at_, {i}, {self._read(name, as_kind)});"
            if writes
            else self._write(name, f"LOAD_AT({c_type(as_kind)}, at_, {i})", as_kind)
            for i, name in enumerate(names)
        )
        return f"{{ {begun} {' '.join(done)} }}"

    def _raise(self, instruction: Instruction) -> str:
        """Make an int of global memory the larger of itself and another; blocks take turns."""
        how = list(instruction.opcode[1:])
        if how != ["global", "max", "s32"]:
            raise Unsupported(f"not known: {instruction}")
        *results, address, value = instruction.operands
        begun = self._begun("global", address, 4, 4, writes=True)
        kept = "".join(self._write(result, "before_", "s32") for result in results)
        return (
            f"{{ {begun} const int32_t before_ = LOAD_AT(int32_t, at_, 0); (void)before_; "
            f"const int32_t other_ = {self._read(value, 's32')}; "
            f"STORE_AT(int32_t, at_, 0, before_ > other_ ? before_ : other_); {kept} }}"
        )

    def _begun(self, space: str, operand: str, size: int, step: int, writes: bool) -> str:
        """Return what sets at_ to where an operand's memory is."""
        constant = "" if writes else "const "
        name = _base_and_offset(operand)[0]
        if space == "param" and not (name in self.places and name.startswith("%")):
            return f"{constant}void *const at_ = {self._parameter(operand, size, writes)};"
        address = self._address(operand)
        if space == "param" and not writes:
            kernel = self.function.name
            found = f"parameter(thread, {address}, {size}, parameters, ptx_sizes_{kernel})"
            return f"const void *const at_ = {found};"
        if space == "global" or (space == "shared" and (step >= 4 or not writes)):
            self.sites += 1
            found = f"{space}(thread, {self.sites}, {address}, {size}, {int(writes)})"
        else:
            raise Unsupported(f"memory: {space}")
        return f"{constant}void *const at_ = {found};"

    def _parameter(self, operand: str, size: int, writes: bool) -> str:
        """Return where a parameter lies: the kernel's, the function's own, or one of a call."""
        base, offset = _base_and_offset(operand)
        position = self._position(base)
        declared = (
            self.function.parameters[position].size
            if position is not None
            else BITS[self.kinds[base]] // 8
        )
        if offset < 0 or offset + size > declared:
            raise ValueError(f"{operand}: {size} bytes at {offset} of {declared}")
        if position is not None and self.function.is_kernel:
            if writes:
                raise Unsupported("a store to a kernel's parameter")
            return f"(const char *)parameters[{position}] + {offset}"
        place = self.places.get(base, _c_name(base))
        return f"({'' if writes else 'const '}char *)&{place} + {offset}"

    def _position(self, name: str) -> int | None:
        """Return which of the function's parameters has a name."""
        names = [p.name for p in self.function.parameters]
        return names.index(name) if name in names else None

    def _call(self, operands: tuple[str, ...]) -> str:
        results, name, given = operands
        arguments = (self.places[x.strip()] for x in given.strip("()").split(",") if x.strip())
        targets = (
            f"&{self.places[x.strip()]}" for x in results.strip("()").split(",") if x.strip()
        )
        return f"ptx_{name}({', '.join(('thread', *arguments, *targets))});"

    # ---- What waits --------------------------------------------------------------------------

    def _wait(self, before: str, status: str, after: str) -> str:
        self.waits += 1
        number = self.waits
        return f"{before} thread->next = {number}; return {status}; resume_{number}: ; {after}"

    def _barrier(self, instruction: Instruction) -> str:
        if instruction.opcode != ("bar", "sync") or instruction.operands != ("0",):
            raise Unsupported("a barrier of some of the threads")
        if instruction.guard:
            raise Unsupported("a barrier under a predicate")
        return self._wait("", "AT_BARRIER", "")

    def _shuffle(self, instruction: Instruction) -> str:
        """Read the value of the lane whose number differs in the bits given."""
        target, value, lanes, limit, members = instruction.operands
        name, _, predicate = target.partition("|")
        if instruction.opcode != ("shfl", "sync", "bfly", "b32") or instruction.guard:
            raise Unsupported("a shuffle of another kind")
        # The limit's upper bits divide the warp, its lower ones bound the lane: neither is used.
        limited = self._read(limit, "u32")
        before = (
            f'if ({limited} != 31) fail(thread, "a shuffle within a part of a warp"); '
            f"thread->given = {self._read(value, 'u32')}; "
            f"thread->source = (thread->number % WARP) ^ ({self._read(lanes, 'u32')} & 31); "
            f"thread->members = {self._read(members, 'u32')};"
        )
        after = self._write(name, "thread->received", "b32")
        if predicate:
            after += f" {self.places[predicate]} = 1;"
        return self._wait(before, "AT_SHUFFLE", after)


def _base_and_offset(operand: str) -> tuple[str, int]:
    base, sign, offset = operand.strip("[] ").partition("+")
    return base.strip(), int(offset, 0) if sign else 0
