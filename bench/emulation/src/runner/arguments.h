/* arguments.h: the words that run_problem takes. */
#ifndef BENCH_ARGUMENTS_H
#define BENCH_ARGUMENTS_H

#include <stddef.h>

#include "kernel_pack.h"

enum { ARGUMENTS_MAX_OPTIONS = 16, ARGUMENTS_MAX_FILES = 1024 };

typedef struct arguments {
  const char *problem, *pack, *kernel;
  int naive, kernels;
  kp_option options[ARGUMENTS_MAX_OPTIONS];
  const char *inputs[ARGUMENTS_MAX_FILES], *outputs[ARGUMENTS_MAX_FILES];
  size_t num_options, num_inputs, num_outputs;
  long runs;
} arguments;

/* Reads the words; complains and returns 0 where they are wrong. Keeps pointers into `argv`. */
int arguments_parse(int argc, char **argv, arguments *a);

#endif
