/* plan.h: a plan read from its JSON, every number in it checked. */
#ifndef REPLAY_PLAN_H
#define REPLAY_PLAN_H

#include "problem.h"
#include "replay.h"

enum { PLAN_VERSION = 1, PLAN_ABSENT = -1 };

typedef enum plan_buffer_kind {
  PLAN_INPUT,
  PLAN_OUTPUT,
  PLAN_ARENA,
  PLAN_CONSTANT
} plan_buffer_kind;

typedef struct plan_buffer {
  plan_buffer_kind kind;
  uint32_t index;  /* of an input or an output */
  uint64_t offset; /* into the arena */
  uint64_t bytes;
  const char *name; /* of a constant */
} plan_buffer;

typedef struct plan_step {
  const char *kernel, *node;
  uint32_t problem;
  const int32_t *buffers; /* the problem's inputs, then its outputs; PLAN_ABSENT */
} plan_step;

typedef struct plan {
  arena memory;
  const char *device;
  DLDevice place; /* of every problem */
  int32_t threads;
  uint64_t arena_bytes;
  core_problem **problems;
  plan_buffer *buffers;
  plan_step *steps;
  replay_tensor *inputs, *outputs;
  uint32_t num_problems, num_buffers, num_steps, num_inputs, num_outputs;
} plan;

/* After success every index is in range, every buffer is as large as each tensor in it and as
 * the input, output or part of the arena that it stands for, and steps write only to the arena
 * and to outputs, all of which are written. */
kp_status plan_read(const json_value *json, plan *result, kp_error *error);
kp_status plan_parse(const char *json, size_t length, plan *result, kp_error *error);
void plan_free(plan *p);

static inline const kp_problem *plan_problem(const plan *p, const plan_step *step) {
  return core_problem_get(p->problems[step->problem]);
}

/* The tensor number `index` of a problem: inputs, then outputs. */
static inline const kp_tensor *plan_tensor(const kp_problem *problem, uint32_t index) {
  return index < problem->num_inputs ? &problem->inputs[index]
                                     : &problem->outputs[index - problem->num_inputs];
}

/* plan_check.c */
kp_status plan_check_steps(const plan *p, kp_error *error);
/* A step's outputs never share memory with each other, and with an input only where both begin
 * at the same byte and `may_overwrite` has the input's bit. */
kp_status plan_check_overlap(const plan *p, const plan_step *step, uint64_t may_overwrite,
                             kp_error *error);

#endif
