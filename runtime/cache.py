"""What was made for each key, as many as a limit allows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Cache", "CacheInfo"]

K = TypeVar("K")
V = TypeVar("V")


class CacheInfo(NamedTuple):
    """How a replay's plans were used.

    Attributes
    ----------
    hits, misses
        Calls that found a plan for their shapes, and that had to make one.
    evictions
        Plans that gave way to others.
    size, limit
        How many plans there are, and may be.
    """

    hits: int
    misses: int
    evictions: int
    size: int
    limit: int


class Cache(Generic[K, V]):
    """The least recently used gives way; each value is made once, however many threads ask.

    Parameters
    ----------
    limit
        How many values are kept.

    Attributes
    ----------
    making : threading.RLock
        Held while a value is made.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[K, V] = OrderedDict()
        self._hits = self._misses = self._evictions = 0
        self.forget_locks()

    def forget_locks(self) -> None:
        """In a forked child, where another thread may have held one that nobody will release."""
        self._lock = threading.Lock()
        self.making = threading.RLock()

    def get(self, key: K, make: Callable[[K], V]) -> V:
        """Return a key's value, made by `make` if there is none."""
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._hits += 1
                self._values.move_to_end(key)
                return found
        with self.making:
            with self._lock:
                found = self._values.get(key)
                if found is not None:
                    self._hits += 1
                    return found
            made = make(key)
            with self._lock:
                self._misses += 1
                self._values[key] = made
                while len(self._values) > self._limit:
                    self._values.popitem(last=False)
                    self._evictions += 1
            return made

    def held(self) -> list[K]:
        """Return the keys of the values that there are."""
        with self._lock:
            return list(self._values)

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._values.clear()

    def info(self) -> CacheInfo:
        """Return the counters."""
        with self._lock:
            size = len(self._values)
            return CacheInfo(self._hits, self._misses, self._evictions, size, self._limit)
