"""A vendor's pack outside this repository: the example of docs/packs.md."""

from dispatch.native import NativePack

pack = NativePack("acme", package="acme_kernels", library="libacme.so", devices=("cpu",))
