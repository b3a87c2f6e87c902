/* error.h: a status together with its sentence. */
#ifndef DISPATCH_ERROR_H
#define DISPATCH_ERROR_H

#include "kernel_pack.h"

/* Writes the message where `error` isn't NULL, and returns `status`. */
__attribute__((format(printf, 3, 4))) kp_status core_fail(kp_error *error, kp_status status,
                                                          const char *format, ...);
kp_status core_out_of_memory(kp_error *error);

/* Puts "where: " in front of the message. Returns `status`. */
__attribute__((format(printf, 3, 4))) kp_status core_fail_in(kp_error *error, kp_status status,
                                                             const char *where, ...);

#endif
