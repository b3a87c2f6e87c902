"""What the pack does on the driver of tests/packs/libcuda, a check a process:

    LD_LIBRARY_PATH=FOLDER python -m tests.packs.libcuda_checks CHECK

CuPy, NVRTC, ctypes and the driver's C interface are real; the runtime beneath CuPy is ours. cuDNN
and cuBLAS are real where a check says nothing else: NVIDIA's runtime within them refuses the
driver. What `with_libraries` puts in their place are fakes that allocate and enqueue as they do.
"""

from tests.packs.libcuda_checks import of_libraries, of_the_driver, of_the_pack, of_torch
from tests.packs.libcuda_checks.common import CHECKS

__all__ = ["CHECKS", "of_libraries", "of_the_driver", "of_the_pack", "of_torch"]
