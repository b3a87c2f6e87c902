"""Time the packs' kernels, whole models and the libraries that others use, side by side.

The command is ``bench`` (or ``python -m bench``); `bench.cli` has its options.
"""
