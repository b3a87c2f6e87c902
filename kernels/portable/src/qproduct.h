/* What the quantised products read of a problem, and keep when they are prepared. */
#ifndef PORTABLE_QPRODUCT_H
#define PORTABLE_QPRODUCT_H

#include "problem.h"
#include "qgemm.h"

static inline int qproduct_is_signed(const kp_tensor *t) { return t->dl.dtype.code == kDLInt; }

static inline int qproduct_has_bias(const kp_problem *problem) {
  return problem->num_operator_inputs > 2 && !kp_is_absent(&problem->inputs[2]);
}

/* The arithmetic's constants but those of the columns. */
static inline void qproduct_read(const kp_problem *problem, qgemm *g) {
  const kp_tensor *x = &problem->inputs[0];
  g->a = dot_source_a(qproduct_is_signed(x), quantized_zero(x, 0));
  g->y_zero = quantized_zero(problem->outputs, 0);
  g->y_range = quantized_output_range(problem);
  g->threads = problem->threads;
}

/* The second operand's columns: `products` times `n` of them in a row along its axis, each product
 * filled up to `count`. Returns 0 where there is no memory; qproduct_release frees them. */
static inline int qproduct_make_columns(const kp_problem *problem, int64_t products, int64_t n,
                                        int64_t count, qgemm_columns *columns) {
  const kp_tensor *x = &problem->inputs[0], *w = &problem->inputs[1], *y = problem->outputs;
  const size_t total = (size_t)(products * count) + 1;
  *columns = (qgemm_columns){.count = count,
                             .multipliers = calloc(total, sizeof(float)),
                             .zeros = calloc(total, sizeof(int32_t))};
  if (!columns->multipliers || !columns->zeros) return 0;
  columns->b_flip = dot_source_b(qproduct_is_signed(w), 0).flip;
  for (int64_t product = 0; product < products; product++)
    for (int64_t i = 0; i < n; i++) {
      const int64_t from = product * n + i, to = product * count + i;
      columns->multipliers[to] = quantized_multiplier(x, w, y, from);
      columns->zeros[to] = dot_source_b(qproduct_is_signed(w), quantized_zero(w, from)).zero;
      columns->corrects |= DOT_VALUES == 4 && columns->zeros[to] != 0;
    }
  return 1;
}

static inline void qproduct_release_columns(qgemm_columns *columns) {
  free(columns->multipliers);
  free(columns->zeros);
}

#endif
