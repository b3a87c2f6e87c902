/* The one place where exceptions end. */
#ifndef KERNELS_ARM_COMPUTE_GUARD_H
#define KERNELS_ARM_COMPUTE_GUARD_H

#include <stdio.h>

#include <exception>
#include <new>
#include <utility>

#include "kernel_pack.h"

/* Runs `body`; what it throws becomes a status, and its words go to `text` (NULL: nowhere). */
template <typename Body>
kp_status guard(char *text, size_t size, Body &&body) noexcept {
  try {
    return std::forward<Body>(body)();
  } catch (const std::bad_alloc &) {
    if (text) snprintf(text, size, "out of memory");
    return KP_OUT_OF_MEMORY;
  } catch (const std::exception &exception) {
    if (text) snprintf(text, size, "%s", exception.what());
    return KP_LIBRARY_FAILED;
  } catch (...) {
    if (text) snprintf(text, size, "the library threw an exception of no known type");
    return KP_LIBRARY_FAILED;
  }
}

#endif
