"""Our own kernels: C11 with vector extensions, for any CPU. They serve where no vendor does."""

from platform import machine

from dispatch.native import NativePack

__all__ = ["pack"]

pack = NativePack(
    name="portable",
    package="kernels.portable",
    library="libkernels_portable.so",
    devices=("cpu",),
    fallback=True,
    levels=("generic", "avx2", "avx512", "avx512_bf16") if machine() == "x86_64" else ("generic",),
)
