/* problem.h: core_problem's inside, for those who parse a problem out of a larger text. */
#ifndef DISPATCH_PROBLEM_H
#define DISPATCH_PROBLEM_H

#include "arena.h"
#include "core.h"
#include "json.h"

enum { CORE_MAX_RANK = 64, CORE_MAX_TENSORS = 1024, CORE_MAX_THREADS = 1024 };

struct core_problem {
  kp_problem problem;
  arena memory;
};

kp_status core_problem_read(const json_value *json, core_problem **problem, kp_error *error);

/* Reads one tensor, as in a problem's "inputs", into `tensor`. */
kp_status core_tensor_read(arena *memory, const json_value *json, kp_tensor *tensor,
                           kp_error *error);
/* Reads "dtype" and "shape" of `json` and checks that the bytes fit into int64. */
kp_status core_shape_read(arena *memory, const json_value *json, kp_tensor *tensor,
                          kp_error *error);
kp_status core_attributes_read(arena *memory, const json_value *json, kp_problem *problem,
                               kp_error *error);
/* As kp_find_attribute's inputs: an array of numbers, or one number, as reals. */
kp_status core_reals_read(arena *memory, const json_value *items, uint32_t count,
                          const double **reals, kp_error *error);

#endif
