/* The Arm Compute Library, found at run time and checked before anything is bound to it. */
#ifndef KERNELS_ARM_COMPUTE_LIBRARY_H
#define KERNELS_ARM_COMPUTE_LIBRARY_H

#include "pack.h"

/*
 * Loads the library at `path` (NULL: at the place that the environment names, or by Debian's
 * soname), checks its version, and loads the shim that lies beside this library.
 *
 * C++ symbols are bound once: a process uses one Arm Compute Library from the first success on,
 * and another path is refused then. Neither library is ever unloaded, since OpenMP's threads and
 * the library's own static objects may outlive the pack.
 */
kp_status library_open(const char *path, kp_pack *pack, kp_error *error);

#endif
