"""The packs of this process as libreplay takes them."""

from __future__ import annotations

import threading
from typing import Any

from dispatch.core import ffi as core_ffi
from dispatch.errors import PackUnavailable
from dispatch.native import NativeOpenPack
from dispatch.registry import packs
from runtime._native import ffi
from runtime.python_packs import open_table

__all__ = ["pack_handle"]

_tables: dict[int, tuple[Any, Any]] = {}
_lock = threading.Lock()


def pack_handle(name: str) -> Any:
    """Return libreplay's handle of an opened pack, be it a library or driven from Python.

    Raises
    ------
    PackUnavailable
        If the pack isn't here.
    """
    pack = next((p for p in packs() if p.name == name and p.available), None)
    if pack is None:
        raise PackUnavailable(f"pack {name}: a plan needs it, and it isn't here")
    if isinstance(pack.opened, NativeOpenPack):
        handle = pack.opened.handle
    else:
        with _lock:
            # The opened pack is kept too, so that its id stays its own.
            _, handle = _tables.get(id(pack.opened), (None, None))
            if handle is None:
                handle = open_table(pack)
                _tables[id(pack.opened)] = (pack.opened, handle)
    return ffi.cast("replay_pack *", int(core_ffi.cast("uintptr_t", handle)))
