"""CUDA programs run on the host: PTX as NVRTC gives it becomes C, and C runs.

No GPU is needed. Each thread of a block runs by itself until it waits, so a program is taken at
the word of the PTX manual (https://docs.nvidia.com/cuda/parallel-thread-execution/) where that is
stricter than a CPU, and often than a GPU, too: a load or store that isn't aligned or lies outside
of all allocations, shared memory that is read before it was written, or without a barrier between
two threads' uses of it, threads that wait at different barriers, and shuffles of lanes that aren't
there end the launch with a message.

Approximate instructions (``ex2.approx``, ``rcp.approx``) are computed as exactly as the host can.
"""
