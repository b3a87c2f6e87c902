"""A bar on the terminal for what takes long; nothing where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Show", "bar"]

Show = Callable[[str, int, int], None]
"""``show(what, done, total)``."""


@contextmanager
def bar(wanted: bool | None = None) -> Iterator[Show]:
    """Give what shows how far the work is.

    Parameters
    ----------
    wanted
        None: if standard error is a terminal.
    """
    # Imported here: it takes longer than the rest of `import dispatch` but NumPy.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    shown = console.is_terminal if wanted is None else wanted
    with Progress(*columns, console=console, disable=not shown, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(
            task, description=what[:60], completed=done, total=total
        )
