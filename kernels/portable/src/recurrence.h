/*
 * What recurrent operators share: the products with the inputs of all steps at once, then step by
 * step those with the hidden state. Two directions run beside each other where there are threads.
 *
 * An operator's inputs are those below, then its own; its outputs are y, then the last of each
 * state.
 */
#ifndef PORTABLE_RECURRENCE_H
#define PORTABLE_RECURRENCE_H

#include "gemm.h"
#include "problem.h"

enum {
  RECURRENCE_X,
  RECURRENCE_W,
  RECURRENCE_R,
  RECURRENCE_BIAS,
  RECURRENCE_LENGTHS,
  RECURRENCE_STATES, /* the first initial one, the hidden; other states follow */
  RECURRENCE_MOST_STATES = 2
};

/* A direction's part of a run. */
typedef struct recurrence_way {
  const kp_prepared *prepared;
  void *const *buffers;
  int direction, is_reverse;
  const float *r[2], *packed_r[2]; /* of the state's products, and of the later ones */
  const float *state_bias;         /* where the state's products are kept apart; else NULL */
  const int32_t *lengths;
  float *gates;                          /* [steps][batch][cell's gates][hidden] */
  float *aside;                          /* see recurrence_cell */
  float *states[RECURRENCE_MOST_STATES]; /* [batch][hidden] */
} recurrence_way;

/* What an operator does in a step. Its gates' sums lie side by side, `hidden` values of each. */
typedef struct recurrence_cell {
  int gates;           /* rows of w and of r for each hidden unit */
  int inputs;          /* the operator's */
  int states;          /* the hidden one and others */
  double unit_seconds; /* of `update`, for a hidden unit of a row */
  /* The state's products lie in the way's `aside`, with their bias, as the inputs' do in `gates`;
   * else they are added to those. */
  int keeps_apart;
  /* Optional: what the last `later_gates` see in place of a row's hidden state. Written to the
   * way's `aside`, [batch][hidden], when the other gates' sums are whole. */
  int later_gates;
  void (*replace_state)(const recurrence_way *w, int64_t row, const float *gates);
  /* Takes a row's sums; writes its states and its result. */
  void (*update)(const recurrence_way *w, int64_t row, const float *gates, float *y);
} recurrence_cell;

typedef struct recurrence_product {
  gemm of;
  gemm_plan plan;
} recurrence_product;

/* Every step's inputs by w; the state by r's rows; by those of the later gates. */
enum { OF_INPUTS, OF_STATE, OF_LATER, RECURRENCE_PRODUCTS };

struct kp_prepared {
  const recurrence_cell *cell;
  int64_t steps, batch, inputs, hidden;
  int directions, is_reverse;
  int beside; /* directions at the same time */
  recurrence_product products[RECURRENCE_PRODUCTS];
};

void BASE_NAME(recurrence_query)(const recurrence_cell *cell, const kp_problem *problem,
                                 kp_answer *answer);
kp_status BASE_NAME(recurrence_prepare)(const recurrence_cell *cell, const kp_problem *problem,
                                        kp_prepared **prepared, kp_error *error);
kp_status BASE_NAME(recurrence_pack_constant)(const kp_prepared *p, uint32_t input,
                                              const void *source, void *destination,
                                              kp_error *error);
kp_status BASE_NAME(recurrence_run)(const kp_prepared *p, void *const *buffers, void *scratch,
                                    void *queue);

/* The vector at p, of which `count` elements are there. */
LEVEL_INLINE f32v load_some(const float *p, int64_t count) {
  return count >= F32_LANES ? load_f32(p) : load_f32_first(p, (int)count);
}
LEVEL_INLINE void store_some(float *p, f32v v, int64_t count) {
  if (count >= F32_LANES)
    store_f32(p, v);
  else
    store_f32_first(p, v, (int)count);
}

#endif
