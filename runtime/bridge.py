"""The packs of this process as libreplay takes them."""

from __future__ import annotations

from typing import Any

from dispatch._native import ffi as core_ffi
from dispatch.errors import PackUnavailable
from dispatch.native import NativeOpenPack
from dispatch.registry import packs
from runtime._native import ffi

__all__ = ["pack_handle"]


def pack_handle(name: str) -> Any:
    """Return libreplay's handle of an opened pack.

    Raises
    ------
    PackUnavailable
        If the pack isn't here.
    """
    for pack in packs():
        if pack.name == name and pack.opened is not None:
            if isinstance(pack.opened, NativeOpenPack):
                number = int(core_ffi.cast("uintptr_t", pack.opened.handle))
                return ffi.cast("replay_pack *", number)
    raise PackUnavailable(f"pack {name}: a plan needs it, and it isn't here")
