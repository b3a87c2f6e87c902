/* What follows an operator on its output: bias, then the problem's list of steps. */
#ifndef PORTABLE_EPILOGUE_H
#define PORTABLE_EPILOGUE_H

#include <math.h>
#include <string.h>

#include "kernel.h"
#include "micro.h"
#include "storage.h"

typedef enum epilogue_kind {
  EPILOGUE_ADD,
  EPILOGUE_MUL,
  EPILOGUE_RELU,
  EPILOGUE_SIGMOID,
  EPILOGUE_TANH,
  EPILOGUE_SILU,
  EPILOGUE_HARD_SWISH,
  EPILOGUE_CLIP,
  EPILOGUE_HARD_SIGMOID,
  EPILOGUE_LEAKY_RELU,
  EPILOGUE_ELU,
  EPILOGUE_GELU,
  EPILOGUE_LINEAR,
  EPILOGUE_KINDS
} epilogue_kind;

typedef struct epilogue_step {
  epilogue_kind kind;
  int32_t input;
  double alpha, beta;
} epilogue_step;

typedef struct epilogue {
  storage stored; /* of the output, and of the inputs of add and mul */
  int count;
  const epilogue_step *steps;
} epilogue;

static inline epilogue_kind epilogue_find(const char *name) {
  static const char *const names[EPILOGUE_KINDS] = {
      "add",  "mul",          "relu",       "sigmoid", "tanh", "silu",  "hard_swish",
      "clip", "hard_sigmoid", "leaky_relu", "elu",     "gelu", "linear"};
  int kind = 0;
  while (kind < EPILOGUE_KINDS && strcmp(names[kind], name) != 0) kind++;
  return (epilogue_kind)kind;
}

/* Does every step of the problem's epilogue have a name that is known? Else refuses. */
static inline int epilogue_check(const kp_problem *problem, kp_answer *answer) {
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    if (epilogue_find(problem->epilogues[i].name) != EPILOGUE_KINDS) continue;
    kp_refuse_number(answer, KP_NO_EPILOGUE, "epilogue", "the operators of the contract", i);
    return 0;
  }
  return 1;
}

/* The problem's epilogue, in `steps`, of which there are num_epilogues. */
static inline epilogue epilogue_read(const kp_problem *problem, storage stored,
                                     epilogue_step *steps) {
  for (uint32_t i = 0; i < problem->num_epilogues; i++) {
    const kp_epilogue *e = &problem->epilogues[i];
    steps[i] = (epilogue_step){epilogue_find(e->name), e->input, e->alpha, e->beta};
  }
  return (epilogue){stored, (int)problem->num_epilogues, steps};
}

static inline int epilogue_is_bound(const epilogue_step *s) {
  return s->kind == EPILOGUE_RELU || s->kind == EPILOGUE_CLIP;
}

/* The epilogues that a product's registers take: [add], then [relu] or [clip]; or less. */
static inline int epilogue_is_simple(const epilogue *e) {
  int i = 0;
  if (e->stored != (REAL_BITS == 64 ? STORED_F64 : STORED_F32)) return 0;
  if (i < e->count && e->steps[i].kind == EPILOGUE_ADD) i++;
  if (i < e->count && epilogue_is_bound(&e->steps[i])) i++;
  return i == e->count;
}

/* Does an epilogue do no more than clip, so that a sum that is stored twice is the same? */
static inline int epilogue_is_clip(const epilogue *e) {
  return epilogue_is_simple(e) && !(e->count > 0 && e->steps[0].kind == EPILOGUE_ADD);
}

/* Between what such an epilogue clips; any other is left to what follows the sums. */
static inline void epilogue_bounds(const epilogue *e, real *low, real *high) {
  *low = -(real)INFINITY, *high = (real)INFINITY;
  if (e->count == 0 || !epilogue_is_clip(e)) return;
  *low = e->steps[0].kind == EPILOGUE_RELU ? 0 : (real)e->steps[0].alpha;
  if (e->steps[0].kind == EPILOGUE_CLIP) *high = (real)e->steps[0].beta;
}

/* Seconds that it takes to bring so many sums through the steps, where they leave registers. */
static inline double epilogue_seconds(const kp_problem *problem, storage stored, double sums) {
  epilogue_step steps[2];
  if (problem->num_epilogues <= 2) {
    const epilogue e = epilogue_read(problem, stored, steps);
    if (epilogue_is_simple(&e)) return 0;
  }
  return sums / 16 * (0.7 * LEVEL_LINE_SECONDS);
}

/* Fills in what a simple epilogue adds to a tile at element `offset` of the output. */
static inline void epilogue_place(const epilogue *e, void *const *buffers, void *output,
                                  int64_t offset, int64_t row_stride, micro_output *place) {
  place->values = (real *)output + offset;
  place->stride = row_stride;
  if (e->count > 0 && e->steps[0].kind == EPILOGUE_ADD)
    place->addend = (const real *)buffers[e->steps[0].input] + offset;
  if (e->count == 0 || !epilogue_is_bound(&e->steps[e->count - 1])) return;
  const epilogue_step *last = &e->steps[e->count - 1];
  place->activation = last->kind == EPILOGUE_RELU ? MICRO_RELU : MICRO_CLIP;
  place->low = (real)last->alpha;
  place->high = (real)last->beta;
}

/* Applies the steps to `count` values that go to the output's elements from `offset` on. `values`
 * has room for whole vectors. */
void REAL_BASE_NAME(epilogue_apply)(const epilogue *e, void *const *buffers, int64_t offset,
                                    real *values, int count);

/* A tile of sums on its way to the output: scaled, with a bias added by row or by column. */
typedef struct epilogue_tile {
  const real *values; /* rows of `width`, whole vectors, of which `columns` count */
  int rows, columns, width;
  real scale;
  const real *row_bias;    /* or NULL */
  const real *column_bias; /* or NULL; room for `width` */
  void *output;
  int64_t offset, row_stride; /* elements of the output */
} epilogue_tile;

/* Scales, adds the bias, applies the steps and stores. */
void REAL_BASE_NAME(epilogue_store)(const epilogue *e, void *const *buffers,
                                    const epilogue_tile *tile);

#endif
