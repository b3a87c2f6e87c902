"""Calls that are like an earlier one: what serves them, by their key."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dispatch._eager import forget
from dispatch.constant import Constant
from dispatch.context import Interned, use_one_thread_by_default
from dispatch.core import lib
from dispatch.runner import Run, Short
from dispatch.selection import Decision
from dispatch.tuning.records import on_change

__all__ = ["Entry", "clear", "entries", "forget_observed", "forget_tuned", "remember"]

CACHE_LIMIT = 4096


@dataclass(slots=True)
class Entry:
    """A call like an earlier one: everything is decided."""

    run: Run
    decision: Decision
    short: Short | None = None


entries: dict[Any, Entry] = {}
"""By the key of a call; looked up without a lock. `dispatch._eager` has some of them, too, with a
bound of its own: what may serve no longer is forgotten in both."""
_keys_of: dict[int, list[Any]] = {}
_lock = threading.Lock()


def remember(key: Any, entry: Entry, inputs: tuple[Any, ...]) -> Entry:
    """Keep what serves calls of a key, as long as the constants among `inputs` live."""
    with _lock:
        while len(entries) >= CACHE_LIMIT:
            entries.pop(next(iter(entries)))
        entries[key] = entry
        for x in inputs:
            if isinstance(x, Constant):
                if x.token not in _keys_of:
                    _keys_of[x.token] = []
                    weakref.finalize(x, _forget_constant, x.token)
                _keys_of[x.token].append(key)
    return entry


def _forget_constant(token: int) -> None:
    forget()
    for key in _keys_of.pop(token, ()):
        entries.pop(key, None)


def clear() -> None:
    """Forget every prepared call."""
    with _lock:
        entries.clear()
    forget()


def forget_tuned() -> None:
    """Forget the calls whose kernels were chosen by measured times: there are others now."""
    _forget(lambda setting: setting.settings.tuned)


def forget_observed() -> None:
    """Forget the calls that were made to see their problems: none comes again."""
    _forget(lambda setting: setting.observe is not None)


def _forget(made_under: Callable[[Interned], bool]) -> None:
    with _lock:
        for key in list(entries):
            if made_under(key[1]):
                entries.pop(key, None)
    forget()


on_change(forget_tuned)


def _after_fork() -> None:
    """In a forked child the threads' pool is gone: start afresh."""
    global _lock
    _lock = threading.Lock()
    entries.clear()
    forget()
    if lib.core_forked_with_threads():
        use_one_thread_by_default()


os.register_at_fork(after_in_child=_after_fork)
