/* What the quantised products read of a problem, and keep when they are prepared. */
#ifndef PORTABLE_QPRODUCT_H
#define PORTABLE_QPRODUCT_H

#include "problem.h"
#include "qgemm.h"

static inline int qproduct_is_signed(const kp_tensor *t) { return t->dl.dtype.code == kDLInt; }

static inline int qproduct_has_bias(const kp_problem *problem) {
  return problem->num_operator_inputs > 2 && !kp_is_absent(&problem->inputs[2]);
}

/* The result is the sums: zero points come as inputs. */
static inline int qproduct_gives_sums(const kp_problem *problem) {
  return !problem->outputs->quantization;
}

/* The arithmetic's constants but those of the columns. */
static inline void qproduct_read(const kp_problem *problem, qgemm *g) {
  const kp_tensor *x = &problem->inputs[0];
  g->threads = problem->threads;
  g->a = dot_source_a(qproduct_is_signed(x), x->quantization ? quantized_zero(x, 0) : 0);
  if (qproduct_gives_sums(problem)) return;
  g->y_zero = quantized_zero(problem->outputs, 0);
  g->y_range = quantized_output_range(problem);
}

/* Says yes. Weights that aren't constant are packed in each run, behind `scratch` bytes. */
static inline void qproduct_answer(const kp_problem *problem, kp_answer *answer, double cost,
                                   int64_t scratch, int64_t packed_bytes) {
  const kp_tensor *weights = &problem->inputs[1];
  if (!kp_is_constant(weights)) {
    scratch += packed_bytes;
    cost += (double)kp_elements(weights) * 2e-9;
  } else if (answer->packed_bytes) {
    answer->packed_bytes[1] = (uint64_t)packed_bytes;
  }
  answer->code = KP_YES;
  answer->cost = cost;
  answer->scratch_bytes = (uint64_t)scratch;
}

/* ---- Quantised columns ----------------------------------------------------------------- */

/* The second operand's columns: `products` times `n` of them in a row along its axis, each product
 * filled up to `count`. What zero points that come as inputs decide is left for the run. Returns 0
 * where there is no memory; qproduct_release_columns frees them. */
static inline int qproduct_make_columns(const kp_problem *problem, int64_t products, int64_t n,
                                        int64_t count, qgemm_columns *columns) {
  const kp_tensor *x = &problem->inputs[0], *w = &problem->inputs[1], *y = problem->outputs;
  const size_t total = (size_t)(products * count) + 1;
  columns->count = count;
  columns->b_flip = dot_source_b(qproduct_is_signed(w), 0).flip;
  if (qproduct_gives_sums(problem)) return 1;
  float *multipliers = calloc(total, sizeof *multipliers);
  int32_t *zeros = calloc(total, sizeof *zeros);
  columns->multipliers = multipliers;
  columns->zeros = zeros;
  if (!multipliers || !zeros) return 0;
  for (int64_t product = 0; product < products; product++)
    for (int64_t i = 0; i < n; i++) {
      const int64_t from = product * n + i, to = product * count + i;
      multipliers[to] = quantized_multiplier(x, w, y, from);
      zeros[to] = dot_source_b(qproduct_is_signed(w), quantized_zero(w, from)).zero;
      columns->corrects |= DOT_VALUES == 4 && zeros[to] != 0;
    }
  return 1;
}

static inline void qproduct_release_columns(const qgemm_columns *columns) {
  free((void *)columns->multipliers);
  free((void *)columns->zeros);
}

/* ---- Zero points that come as inputs ----------------------------------------------------- */

typedef struct qproduct_points {
  int a_signed, b_signed;
  int64_t b_count; /* zero points of b: none, one, or one for each column */
} qproduct_points;

static inline qproduct_points qproduct_read_points(const kp_problem *problem) {
  const kp_tensor *point = &problem->inputs[3];
  return (qproduct_points){qproduct_is_signed(&problem->inputs[0]),
                           qproduct_is_signed(&problem->inputs[1]),
                           kp_is_absent(point) ? 0 : kp_elements(point)};
}

static inline int32_t qproduct_point(const void *points, int is_signed, int64_t i) {
  return is_signed ? ((const int8_t *)points)[i] : ((const uint8_t *)points)[i];
}

/* What is subtracted of b where it is packed, before its zero points are known; they have the
 * columns corrected by the rows' sums. */
static inline int32_t qproduct_packed_zero(const qproduct_points *p) {
  return DOT_VALUES == 4 ? 0 : dot_source_b(p->b_signed, 0).zero;
}

static inline int64_t qproduct_points_bytes(int64_t products, int64_t count) {
  return kernel_round_up(products * count * (int64_t)sizeof(int32_t), KP_ALIGNMENT);
}

/* Sets what of `g` follows from the zero points in `buffers`; `zeros` has qproduct_points_bytes. */
static inline void qproduct_take_points(const qproduct_points *p, void *const *buffers,
                                        int64_t products, int32_t *zeros, qgemm *g) {
  const int64_t count = g->columns.count, n = g->n;
  const int32_t none = DOT_VALUES == 4 ? dot_source_b(p->b_signed, 0).zero : 0;
  g->a = dot_source_a(p->a_signed, buffers[2] ? qproduct_point(buffers[2], p->a_signed, 0) : 0);
  for (int64_t product = 0; product < products; product++)
    for (int64_t i = 0; i < count; i++) {
      const int64_t at = p->b_count > 1 ? product * n + i : 0;
      const int32_t point = p->b_count && i < n ? qproduct_point(buffers[3], p->b_signed, at) : 0;
      zeros[product * count + i] = point + none;
      g->columns.corrects |= zeros[product * count + i] != 0;
    }
  g->columns.zeros = zeros;
}

#endif
