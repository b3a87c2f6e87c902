"""Run the check that is named."""

import sys

from tests.packs.libcuda_checks import CHECKS

CHECKS[sys.argv[1]]()
