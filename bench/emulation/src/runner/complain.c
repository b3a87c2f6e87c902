#include "complain.h"

#include <stdarg.h>
#include <stdio.h>

int complain(const char *format, ...) {
  va_list values;
  fputs("run_problem: ", stderr);
  va_start(values, format);
  vfprintf(stderr, format, values);
  va_end(values);
  fputc('\n', stderr);
  return 0;
}
