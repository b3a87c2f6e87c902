/* fail.h: a sentence for an error. */
#ifndef KERNELS_OPENCL_FAIL_H
#define KERNELS_OPENCL_FAIL_H

#include <stdarg.h>
#include <stdio.h>

#include "kernel_pack.h"

__attribute__((format(printf, 3, 4))) static inline kp_status fail(kp_error *error,
                                                                   kp_status status,
                                                                   const char *format, ...) {
  if (!error) return status;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  return status;
}

static inline kp_status fail_out_of_memory(kp_error *error) {
  return fail(error, KP_OUT_OF_MEMORY, "memory ran out");
}

#endif
