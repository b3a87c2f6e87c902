"""A native pack in another process: under an emulator, or on another machine.

The other side is the program ``serve_pack``, which needs no Python. Problems,
references and comparisons stay here; there, kernels are asked and run between
guards.
"""

from __future__ import annotations

import contextlib
import struct
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.errors import KernelFailed, PackUnavailable, RegistrationError
from dispatch.native import got_of
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["RemoteKernel", "RemotePack", "RemotePrepared"]

_QUERY, _PREPARE, _PACK, _RUN, _RELEASE = 1, 2, 3, 4, 5
_ABSENT, _BYTES, _PACKED, _SHARED = 0, 1, 2, 3
_HEADER = struct.Struct("<3Q")
_NUMBER = struct.Struct("<Q")
_REAL = struct.Struct("<d")
_DETERMINISTIC = 1  # KP_KERNEL_DETERMINISTIC
_BINDS_CONSTANTS = 1  # KP_ANSWER_BINDS_CONSTANTS
_ALIGNMENT = 64


class _Fields:
    """The fields of a reply, read one after another."""

    def __init__(self, data: bytes) -> None:
        self._data, self._next = data, 0

    def number(self) -> int:
        value: int = _NUMBER.unpack_from(self._data, self._next)[0]
        self._next += _NUMBER.size
        return value

    def memory(self) -> bytes:
        size = self.number()
        self._next += size
        return self._data[self._next - size : self._next]

    def text(self) -> str:
        return self.memory().decode("utf-8", "replace")


def _number(value: int) -> bytes:
    return _NUMBER.pack(value)


def _memory(data: bytes) -> bytes:
    return _number(len(data)) + data


class RemotePack:
    """An opened pack that a ``serve_pack`` process serves; a context manager that ends it.

    Parameters
    ----------
    command
        What starts ``serve_pack``, the words before its own arguments
        included: ``("qemu-aarch64", "-L", root, ".../serve_pack")`` or
        ``("ssh", "board", "serve_pack")``.
    library
        The pack's shared library, as the other side names it.
    options
        The pack's options.

    Raises
    ------
    PackUnavailable
        If the program can't be started, or the pack can't be opened there.
    """

    def __init__(
        self, command: Sequence[str], library: str, options: Mapping[str, str] | None = None
    ) -> None:
        words = [word for pair in (options or {}).items() for word in ("--option", "=".join(pair))]
        try:
            self._process = subprocess.Popen(  # noqa: S603  the caller's own program
                [*command, library, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as error:
            raise PackUnavailable(f"{command[0]}: {error.strerror}") from error
        self._sending = threading.Lock()
        self._answers: dict[int, bytes | Exception] = {}
        self._arrived = threading.Condition()
        self._forgotten: list[int] = []
        self._count = 0
        self._reading = False
        try:
            fields = self._receive(0)
        except KernelFailed as error:
            self.close()
            raise PackUnavailable(f"{library}: {error}") from None
        self.name = fields.text()
        self.version = fields.text()
        self.library_version = fields.text()
        self.kernels = tuple(
            RemoteKernel(self, index, fields.text(), fields.text(), bool(fields.number() & 1))
            for index in range(fields.number())
        )

    def __enter__(self) -> RemotePack:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what wasn't sent is of no use any more
                    stream.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, what: int, *fields: bytes) -> _Fields:
        """Send a request and wait for its reply; may be called by several threads at once.

        Raises
        ------
        KernelFailed
            With the reason that the other side gives, or if it has ended.
        """
        assert self._process.stdin is not None
        payload = b"".join(fields)
        with self._sending:
            self._count += 1
            number = self._count
            message = _HEADER.pack(number, what, len(payload)) + payload
            while self._forgotten:
                handle = _number(self._forgotten.pop())
                message = _HEADER.pack(0, _RELEASE, len(handle)) + handle + message
            try:
                self._process.stdin.write(message)
                self._process.stdin.flush()
            except (OSError, ValueError):
                raise KernelFailed(self._ended()) from None
        return self._receive(number)

    def forget(self, handle: int) -> None:
        """Release a prepared kernel with the next request: takes no lock, for finalizers."""
        self._forgotten.append(handle)

    def _receive(self, number: int) -> _Fields:
        """Wait for a reply; one of the threads that wait reads for all of them."""
        with self._arrived:
            while number not in self._answers:
                if self._reading:
                    self._arrived.wait()
                    continue
                self._reading = True
                self._arrived.release()
                try:
                    arrived, answer = self._read()
                finally:
                    self._arrived.acquire()
                    self._reading = False
                self._answers[number if arrived is None else arrived] = answer
                self._arrived.notify_all()
            answer = self._answers.pop(number)
        if isinstance(answer, Exception):
            raise answer
        return _Fields(answer)

    def _read(self) -> tuple[int | None, bytes | Exception]:
        """Read one reply: whose it is (None: the reader's, since the stream has ended), and it."""
        assert self._process.stdout is not None
        header = self._process.stdout.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None, KernelFailed(self._ended())
        number, status, size = _HEADER.unpack(header)
        data = self._process.stdout.read(size)
        if len(data) < size:
            return number, KernelFailed(self._ended())
        return number, KernelFailed(_Fields(data).text()) if status else data

    def _ended(self) -> str:
        status = self._process.wait()
        return f"the process that serves the pack ended with status {status}"


@dataclass(frozen=True, eq=False)
class RemoteKernel:
    """A kernel of a pack in another process."""

    pack: RemotePack
    index: int
    name: str
    source: str
    deterministic: bool

    def query(self, problem: Problem) -> Answer:
        """Ask the pack."""
        fields = self.pack.ask(_QUERY, _number(self.index), _memory(problem.to_json().encode()))
        code, flags = fields.number(), fields.number()
        cost: float = _REAL.unpack(fields.memory())[0]
        scratch_bytes, may_overwrite = fields.number(), fields.number()
        inputs, outputs = fields.number(), fields.number()
        layouts = tuple(fields.text() for _ in range(inputs + outputs))
        packed_bytes = tuple(fields.number() for _ in range(inputs))
        if code == 0:
            return Yes(
                cost=cost,
                scratch_bytes=scratch_bytes,
                layouts=layouts,
                packed_bytes=packed_bytes,
                may_overwrite=frozenset(
                    i for i in range(min(inputs, 64)) if may_overwrite >> i & 1
                ),
                binds_constants=bool(flags & _BINDS_CONSTANTS),
            )
        try:
            known = NoCode(code)
        except ValueError:
            raise RegistrationError(
                f"{self.name}: refuses with code {code}, which the catalogue doesn't have"
            ) from None
        subject, limit = fields.text(), fields.text()
        has_got, got, reason = fields.number(), fields.number(), fields.text()
        number = got - 2**64 if got >= 2**63 else got
        return No(
            known, subject, limit, reason or (str(number) if has_got else got_of(problem, subject))
        )

    def prepare(self, problem: Problem, constants: Sequence[Array | None]) -> RemotePrepared:
        """Make the kernel ready there."""
        fields = [_number(self.index), _memory(problem.to_json().encode())]
        fields += [
            _number(0) if value is None else _number(1) + _memory(value.tobytes())
            for value in constants
        ]
        return RemotePrepared(self, problem, self.pack.ask(_PREPARE, *fields))


class RemotePrepared:
    """A kernel prepared in another process."""

    def __init__(self, kernel: RemoteKernel, problem: Problem, fields: _Fields) -> None:
        self._kernel = kernel
        self._handle = fields.number()
        self.packed_bytes = tuple(fields.number() for _ in problem.inputs)

    def __del__(self) -> None:
        self._kernel.pack.forget(self._handle)

    def pack(self, index: int, value: Array) -> _PackedInput:
        """Pack constant input `index` there; the form stays there."""
        self._kernel.pack.ask(
            _PACK, _number(self._handle), _number(index), _memory(value.tobytes())
        )
        return _PackedInput(index)

    def run(self, buffers: Sequence[Any], queue: Any = None) -> None:
        """Run on copies of arrays; what has changed is written back.

        Raises
        ------
        KernelFailed
            If the kernel reports a failure, or wrote outside of its buffers.
        """
        fields = [_number(self._handle)]
        sent: list[Array] = []
        places: dict[int, int] = {}
        for index, buffer in enumerate(buffers):
            if buffer is None:
                fields.append(_number(_ABSENT))
            elif isinstance(buffer, _PackedInput):
                fields.append(_number(_PACKED) + _number(buffer.index))
            elif buffer.nbytes and buffer.ctypes.data in places:
                fields.append(_number(_SHARED) + _number(places[buffer.ctypes.data]))
            else:
                address = buffer.ctypes.data
                places[address] = index
                fields.append(
                    _number(_BYTES) + _number(address % _ALIGNMENT) + _memory(buffer.tobytes())
                )
                sent.append(buffer)
        reply = self._kernel.pack.ask(_RUN, *fields)
        for buffer in sent:
            data = np.frombuffer(reply.memory(), np.uint8)
            if buffer.nbytes:
                buffer.reshape(-1).view(np.uint8)[:] = data


@dataclass(frozen=True)
class _PackedInput:
    """The packed form of a constant input, which stays in the other process."""

    index: int
