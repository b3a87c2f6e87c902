"""Run by test_opencl_races: every kernel of the OpenCL pack on small cases, on the first device.

Prints a line for each kernel that ran; what it did wrong the simulator writes to its log.
"""

from __future__ import annotations

import sys

import numpy as np

from dispatch.answer import Yes
from dispatch.conformance import device
from dispatch.conformance.execution import Run, execute, prepare
from dispatch.conformance.packs import open_subject, targets
from dispatch.conformance.runner import conformance_cases, questions
from dispatch.contract import KernelName
from dispatch.dtypes import SHORT_NAMES
from dispatch.operators import operators

# The simulator knows where a buffer ends; with guards around it a read beyond would be none.
device.GUARD = 0
ELEMENTS = 3000
RUNS = 3
LONG = {short: name for name, short in SHORT_NAMES.items()}


def spread(kernel, name):
    """Give small problems that a kernel serves, far apart in its operator's list of cases."""
    parts = KernelName.parse(kernel.name)
    operator = operators()[parts.operator]
    cases = conformance_cases(operator, 0)
    served = []
    for question in questions(operator, LONG[parts.dtype], name, cases):
        sizes = [t.size for t in question.problem.tensors if t is not None]
        if min(sizes) > 0 and max(sizes) <= ELEMENTS:
            answer = kernel.query(question.problem)
            if isinstance(answer, Yes):
                served.append((question, answer))
    chosen = np.linspace(0, len(served) - 1, RUNS).astype(int) if served else ()
    return [served[index] for index in sorted(set(map(int, chosen)))]


def main(part, parts, dtypes):
    subject = open_subject(targets("opencl")[0])
    kernels = [k for k in subject.kernels if KernelName.parse(k.name).dtype in dtypes]
    for kernel in kernels[part::parts]:
        for question, answer in spread(kernel, subject.device):
            ready = prepare(kernel, question.problem, answer, question.arrays)
            outcome = execute(ready, Run())
            print(kernel.name, *outcome.faults, sep="\t", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(","))
