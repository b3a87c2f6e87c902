/*
 * naive_steps.h: what the plain loops share: the steps that follow an operator, and the checks.
 * Inline, as a compiler would have it in one file.
 */
#ifndef BENCH_NAIVE_STEPS_H
#define BENCH_NAIVE_STEPS_H

#include <string.h>

#include "kernel_pack.h"

enum { NAIVE_MAX_STEPS = 8 };

typedef enum naive_step_kind {
  NAIVE_ADD,
  NAIVE_MUL,
  NAIVE_RELU,
  NAIVE_CLIP,
  NAIVE_LINEAR,
  NAIVE_LEAKY_RELU,
  NAIVE_HARD_SIGMOID,
  NAIVE_HARD_SWISH
} naive_step_kind;

typedef struct naive_step {
  naive_step_kind kind;
  int32_t input;
  float alpha, beta;
} naive_step;

/* Where a result goes: through the steps, then to the first output. */
typedef struct naive_result {
  int has_bias; /* input 2 */
  uint32_t num_inputs, num_steps;
  naive_step steps[NAIVE_MAX_STEPS];
} naive_result;

/* ---- Asking ----------------------------------------------------------------------------- */

/* Whether all tensors are dense float32 and every step is known. Takes the layout where it may. */
int naive_accepts(const kp_problem *problem, kp_answer *answer);
/* Refuses, and returns 0. */
int naive_refuse_shape(kp_answer *answer, const char *subject, const char *limit, int64_t got);
/* Whether the bias, if there is one, has `length` elements. */
int naive_bias_fits(const kp_problem *problem, int64_t length, kp_answer *answer);
/* For a problem that is accepted. */
naive_result naive_result_of(const kp_problem *problem);

/* ---- Running ---------------------------------------------------------------------------- */

static inline float naive_clamp(float y, float low, float high) {
  return y < low ? low : y > high ? high : y;
}

static inline float naive_apply(const naive_step *s, float y, void *const *buffers, int64_t index) {
  switch (s->kind) {
    case NAIVE_ADD:
      return y + ((const float *)buffers[s->input])[index];
    case NAIVE_MUL:
      return y * ((const float *)buffers[s->input])[index];
    case NAIVE_RELU:
      return y < 0 ? 0 : y;
    case NAIVE_CLIP:
      return naive_clamp(y, s->alpha, s->beta);
    case NAIVE_LINEAR:
      return s->alpha * y + s->beta;
    case NAIVE_LEAKY_RELU:
      return y < 0 ? s->alpha * y : y;
    case NAIVE_HARD_SIGMOID:
      return naive_clamp(s->alpha * y + s->beta, 0, 1);
    case NAIVE_HARD_SWISH:
      return y * naive_clamp(y + 3, 0, 6) / 6;
  }
  return y;
}

static inline void naive_store(const naive_result *result, void *const *buffers, int64_t index,
                               float y) {
  for (uint32_t i = 0; i < result->num_steps; i++)
    y = naive_apply(&result->steps[i], y, buffers, index);
  ((float *)buffers[result->num_inputs])[index] = y;
}

#endif
