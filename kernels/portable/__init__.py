"""Our own kernels: C11 with vector extensions, for any CPU. They serve where no vendor does."""

from dispatch.native import NativePack

__all__ = ["pack"]

pack = NativePack(
    name="portable",
    package="kernels.portable",
    library="libkernels_portable.so",
    devices=("cpu",),
    fallback=True,
)
