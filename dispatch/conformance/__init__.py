"""The conformance kit: every kernel against the float64 reference and the contract.

`check` is what ``python -m dispatch check`` calls; `check_pack` gives the same as
data. The bound on errors is published in `dispatch.conformance.bounds`.
"""

from dispatch.conformance.checks import Failure, KernelReport
from dispatch.conformance.command import Remote, check
from dispatch.conformance.export import export
from dispatch.conformance.packs import check_pack
from dispatch.conformance.runner import Subject, Summary, check_kernels, conformance_cases

__all__ = [
    "Failure",
    "KernelReport",
    "Remote",
    "Subject",
    "Summary",
    "check",
    "check_kernels",
    "check_pack",
    "conformance_cases",
    "export",
]
