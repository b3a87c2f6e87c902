"""Kernels for devices with memory of their own: plans, and sources in one language.

No pack: packs here build the sources for their devices and enqueue what the plans say.
"""
