#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

kp_status core_fail(kp_error *error, kp_status status, const char *format, ...) {
  if (error) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
  }
  return status;
}

kp_status core_out_of_memory(kp_error *error) {
  return core_fail(error, KP_OUT_OF_MEMORY, "memory ran out");
}

kp_status core_fail_in(kp_error *error, kp_status status, const char *where, ...) {
  if (!error) return status;
  const kp_error inner = *error;
  const size_t room = sizeof error->message;
  va_list arguments;
  va_start(arguments, where);
  int written = vsnprintf(error->message, room, where, arguments);
  va_end(arguments);
  size_t length = written < 0 ? 0 : (size_t)written;
  if (length + 3 >= room) return status;
  memcpy(error->message + length, ": ", 2);
  size_t kept = strnlen(inner.message, room - length - 3);
  memcpy(error->message + length + 2, inner.message, kept);
  error->message[length + 2 + kept] = 0;
  return status;
}
