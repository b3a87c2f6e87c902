/* What "matmul" and "linear" read of a problem: a batch of products. */
#ifndef PORTABLE_MATMUL_PROBLEM_H
#define PORTABLE_MATMUL_PROBLEM_H

#include <string.h>

#include "kernel.h"

#define MATMUL_MAX_RANK 64 /* NumPy's own */

typedef struct {
  int64_t batch, m, n, k;
  int a_transposed, b_transposed;
  int batch_rank; /* of the dimensions left after collapsing */
  int64_t extents[MATMUL_MAX_RANK], a_strides[MATMUL_MAX_RANK], b_strides[MATMUL_MAX_RANK];
  int64_t a_batch, b_batch; /* products that each holds when packed; 0: it can't be packed */
} products;

static inline int matmul_is_linear(const kp_problem *problem) {
  return strcmp(problem->operator_name, "linear") == 0;
}

/* The extent of batch dimension `i` (of `rank`, aligned at the end). */
static inline int64_t matmul_batch_extent(const kp_tensor *t, int i, int rank) {
  int own = t->dl.ndim - 2, at = i - (rank - own);
  return at < 0 ? 1 : t->dl.shape[at];
}

/* Dtypes, layouts and ranks. Returns 0 where it has refused. */
static inline int matmul_check_tensors(const kp_problem *problem, DLDataTypeCode code, int bits,
                                       kp_answer *answer) {
  static const char *const subjects[] = {"a", "b", "bias"}, *const linear[] = {"x", "w", "bias"};
  const char *const *names = matmul_is_linear(problem) ? linear : subjects;
  for (uint32_t i = 0; i < problem->num_inputs + 1; i++) {
    const kp_tensor *t = i < problem->num_inputs ? &problem->inputs[i] : &problem->outputs[0];
    const char *name = i < problem->num_operator_inputs ? names[i]
                       : i < problem->num_inputs        ? "epilogue"
                                                        : "output";
    int is_bias = i == 2 && i < problem->num_operator_inputs, rank = t->dl.ndim;
    int least = matmul_is_linear(problem) && i != 1 ? 1 : 2;
    if (kp_is_absent(t)) continue;
    if (!kp_is_dtype(t, code, bits))
      kp_refuse(answer, KP_NO_DTYPE, name, "the kernel's dtype");
    else if (t->quantization)
      kp_refuse(answer, KP_NO_QUANTIZATION, name, "none");
    else if (!kp_is_layout(t, "nchw") && !kp_is_layout(t, "any"))
      kp_refuse(answer, KP_NO_LAYOUT, name, "nchw");
    else if (is_bias ? rank != 1 : rank < least || rank > MATMUL_MAX_RANK)
      kp_refuse_number(answer, KP_NO_RANK, name,
                       is_bias      ? "1"
                       : least == 1 ? "1 to 64"
                                    : "2 to 64",
                       rank);
    else
      continue;
    return 0;
  }
  for (uint32_t i = 0; answer->layouts && i < problem->num_inputs + 1; i++)
    if (i == problem->num_inputs || !kp_is_absent(&problem->inputs[i]))
      strcpy(answer->layouts[i], "nchw");
  return 1;
}

/* Refuses sizes whose products overflow. */
static inline int matmul_check_sizes(const products *s, kp_answer *answer) {
  int64_t work = kernel_multiply(kernel_multiply(s->batch, s->m), s->n);
  if (kernel_multiply(kernel_multiply(work, s->k + !s->k), 64) != INT64_MAX) return 1;
  kp_refuse(answer, KP_NO_MEMORY, "output.shape", "fewer than 2^57 products");
  return 0;
}

/* "linear": x [..., k], w [n, k], output [..., n]. Returns 0 where it has refused. */
static inline int matmul_read_linear(const kp_problem *problem, products *out, kp_answer *answer) {
  const DLTensor *x = &problem->inputs[0].dl, *w = &problem->inputs[1].dl;
  const DLTensor *y = &problem->outputs[0].dl;
  int last = x->ndim - 1, fits = y->ndim == x->ndim && w->ndim == 2;
  *out = (products){
      .batch = 1, .a_batch = 1, .b_batch = 1, .b_transposed = 1, .m = 1, .k = x->shape[last]};
  for (int i = 0; i < last; i++) {
    out->m = kernel_multiply(out->m, x->shape[i]);
    fits = fits && y->shape[i] == x->shape[i];
  }
  out->n = w->shape[0];
  if (!fits || w->shape[1] != out->k || y->shape[last] != out->n) {
    kp_refuse(answer, KP_NO_SHAPE, "output.shape", "shapes that go together");
    return 0;
  }
  return matmul_check_sizes(out, answer);
}

/* Reads the shapes. Returns 0 where it has refused. */
static inline int matmul_read(const kp_problem *problem, products *out, kp_answer *answer) {
  const kp_tensor *a = &problem->inputs[0], *b = &problem->inputs[1], *y = &problem->outputs[0];
  int rank = y->dl.ndim - 2;
  if (matmul_is_linear(problem)) return matmul_read_linear(problem, out, answer);
  *out = (products){.batch = 1};
  out->a_transposed = kp_integer(problem, "transpose_a", 0, 0) != 0;
  out->b_transposed = kp_integer(problem, "transpose_b", 0, 0) != 0;
  const int64_t *sa = a->dl.shape + a->dl.ndim - 2, *sb = b->dl.shape + b->dl.ndim - 2;
  out->m = sa[out->a_transposed];
  out->k = sa[!out->a_transposed];
  out->n = sb[!out->b_transposed];
  const int64_t *sy = y->dl.shape + rank;
  int fits = sb[out->b_transposed] == out->k && sy[0] == out->m && sy[1] == out->n;

  int64_t a_stride = kernel_multiply(out->m, out->k), b_stride = kernel_multiply(out->k, out->n);
  int64_t a_total = 1, b_total = 1, a_strides[MATMUL_MAX_RANK], b_strides[MATMUL_MAX_RANK];
  for (int i = rank - 1; i >= 0; i--) {
    int64_t ea = matmul_batch_extent(a, i, rank), eb = matmul_batch_extent(b, i, rank);
    int64_t extent = ea == 1 ? eb : ea;
    fits =
        fits && extent == y->dl.shape[i] && (ea == extent || ea == 1) && (eb == extent || eb == 1);
    a_strides[i] = ea == 1 ? 0 : a_stride;
    b_strides[i] = eb == 1 ? 0 : b_stride;
    a_stride = kernel_multiply(a_stride, ea), b_stride = kernel_multiply(b_stride, eb);
    a_total = kernel_multiply(a_total, ea), b_total = kernel_multiply(b_total, eb);
    out->batch = kernel_multiply(out->batch, extent);
  }
  if (!fits) {
    kp_refuse(answer, KP_NO_SHAPE, "output.shape", "shapes that go together");
    return 0;
  }
  if (!matmul_check_sizes(out, answer)) return 0;
  out->a_batch = a_total == 1 ? 1 : a_total == out->batch ? a_total : 0;
  out->b_batch = b_total == 1 ? 1 : b_total == out->batch ? b_total : 0;
  if (b_total == 1 && a_total == out->batch && !out->a_transposed) {
    out->m *= out->batch; /* one product of all rows */
    out->batch = out->a_batch = 1;
    return 1;
  }
  for (int i = 0; i < rank; i++) {
    out->extents[i] = y->dl.shape[i];
    out->a_strides[i] = a_strides[i];
    out->b_strides[i] = b_strides[i];
  }
  out->batch_rank = rank;
  return 1;
}

static inline int64_t matmul_batch_offset(const products *s, const int64_t *strides,
                                          int64_t batch) {
  int64_t offset = 0;
  for (int i = s->batch_rank - 1; i >= 0 && batch > 0; i--) {
    offset += batch % s->extents[i] * strides[i];
    batch /= s->extents[i];
  }
  return offset;
}

#endif
