"""The records that this process goes by: the file's, and those that came with a trace."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence

from dispatch.machine import this_machine
from dispatch.problem import Problem
from dispatch.tuning.database import Database, default_path
from dispatch.tuning.record import Key, Record, problem_digest

__all__ = ["Records", "on_change", "records"]

_changed: list[Callable[[], None]] = []


def on_change(forget: Callable[[], None]) -> None:
    """Register what forgets the choices that earlier records led to."""
    _changed.append(forget)


class Records:
    """The records of this machine, as the file held them when they were first asked for.

    What another process writes later is seen after `refresh`.

    Parameters
    ----------
    database
        The file.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._known: dict[Key, Record] | None = None
        self._lent: dict[Key, Record] = {}
        self._lock = threading.RLock()

    def find(
        self, pack_version: str, library_version: str, kernel: str, problem: Problem
    ) -> Record | None:
        """Return what is known of a kernel of a pack of these versions for a problem."""
        known = self._known
        if known is None:
            known = self.refresh()
        if not known and not self._lent:
            return None
        key = Key(this_machine().id, pack_version, library_version, kernel, problem_digest(problem))
        return known.get(key) or self._lent.get(key)

    def refresh(self) -> dict[Key, Record]:
        """Read the file again."""
        with self._lock:
            read = {record.key: record for record in self.database.read(this_machine().id)}
            changed = self._known is not None and read != self._known
            self._known = read
        if changed:
            _tell()
        return read

    def add(self, measured: Sequence[Record]) -> None:
        """Keep what was measured here, in the file too."""
        if not measured:
            return
        machine = this_machine()
        self.database.write(measured, {machine.id: machine.description})
        with self._lock:
            known = self.refresh() if self._known is None else self._known
            self._known = {**known, **{record.key: record for record in measured}}
        _tell()

    def lend(self, brought: Iterable[Record]) -> None:
        """Take records from elsewhere for this process, where the file has none of its own.

        Those of other machines are left out.
        """
        own = this_machine().id
        with self._lock:
            fresh = {r.key: r for r in brought if r.machine == own}
            if fresh.items() <= self._lent.items():
                return
            self._lent = {**self._lent, **fresh}
        _tell()

    def forget_lock(self) -> None:
        """In a forked child another thread may have held the lock that nobody will release."""
        self._lock = threading.RLock()
        self.database.forget_lock()


def _tell() -> None:
    for forget in _changed:
        forget()


_records: Records | None = None


def records() -> Records:
    """Return the process's records, over the user's file."""
    global _records
    if _records is None:
        _records = Records(Database(default_path()))
    return _records


def _after_fork() -> None:
    if _records is not None:
        _records.forget_lock()


os.register_at_fork(after_in_child=_after_fork)
