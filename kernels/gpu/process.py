"""A driver's process: what a parent opened, a forked child can't use."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable

from dispatch.errors import ForkedProcessError

__all__ = ["DriverProcess"]


class DriverProcess:
    """The one process that may use a driver.

    Parameters
    ----------
    driver
        Its name, for the message.
    """

    def __init__(self, driver: str) -> None:
        self._driver = driver
        self._id = 0
        self._forgetting: list[weakref.WeakMethod[Callable[[], None]]] = []
        os.register_at_fork(after_in_child=self._forget)

    def enter(self) -> None:
        """Make this process the driver's, if there is none yet.

        Raises
        ------
        ForkedProcessError
            If it is the parent's.
        """
        now = os.getpid()
        if self._id not in (0, now):
            raise ForkedProcessError(
                f"{self._driver}: the driver was opened by process {self._id}, and doesn't work in "
                f"one that was forked from it: start processes by 'spawn' or 'forkserver', or "
                f"fork before the device is used"
            )
        self._id = now

    def forget_in_child(self, forget: Callable[[], None]) -> None:
        """Call a method in forked children, as long as its object lives."""
        self._forgetting.append(weakref.WeakMethod(forget))

    def _forget(self) -> None:
        for reference in self._forgetting:
            forget = reference()
            if forget is not None:
                forget()
