"""AArch64 on other machines: a root of Debian's packages, a cross build, and QEMU's user mode.

What runs here runs the project's own aarch64 code, instruction by instruction.
It tells whether results are right and how many instructions they took, never
how long they would take.
"""
