"""Our own kernels: C11 with vector extensions, for any CPU. They serve where no vendor does."""

from platform import machine

from dispatch.native import NativePack

__all__ = ["pack"]

LEVELS = {
    "x86_64": ("avx2", "avx512", "avx512_bf16"),
    "aarch64": ("neon", "dotprod", "fp16", "i8mm", "bf16"),
}

pack = NativePack(
    name="portable",
    package="kernels.portable",
    library="libkernels_portable.so",
    devices=("cpu",),
    fallback=True,
    levels=("generic", *LEVELS.get(machine(), ())),
)
