"""What takes long to make, kept on disk: programs and cuDNN's plans, by all that they depend on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import platformdirs

from dispatch.files import replacing

__all__ = ["kept", "key_of"]

DIGEST_BYTES = hashlib.sha256().digest_size


def key_of(parts: Iterable[str]) -> str:
    """Return a name for what depends on all of `parts`."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def kept(kind: str, parts: Iterable[str], make: Callable[[], bytes]) -> bytes:
    """Return what `make` made of `parts`, in this process or an earlier one.

    A file that was cut off or changed is made anew; a folder that can't be
    written to keeps nothing, which isn't worth an error.
    """
    path = _folder() / f"{kind}-{key_of(parts)}"
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        digest, content = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() == digest:
            return content
    content = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(hashlib.sha256(content).digest() + content)
    return content


def _folder() -> Path:
    return Path(platformdirs.user_cache_dir("kernel-dispatch")) / "cudnn"
