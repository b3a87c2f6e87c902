/*
 * The blocked multiplication of 8-bit matrices that qmatmul, qconv2d, matmul_integer and
 * conv_integer share:
 * y[m][n] = requantise(sum over k of a[m][k] * b[k][n] + bias[n]) for each of `batch` products,
 * or the sums themselves.
 *
 * `a` is packed row by row into scratch while it is needed, by a function of the caller, unless its
 * rows can be read where they are; `b` is packed before. Sums stay in registers from the first
 * product to the stored byte. Any order of summation gives the same integers.
 */
#ifndef PORTABLE_QGEMM_H
#define PORTABLE_QGEMM_H

#include "dot.h"
#include "kernel.h"
#include "quantization.h"

/* Rows and vectors of columns of a tile. */
#if LEVEL_REGISTERS < 32
#define QGEMM_ROWS 6
#define QGEMM_VECTORS 2
#else
#define QGEMM_ROWS 6
#define QGEMM_VECTORS 4
#endif
#define QGEMM_COLUMNS (QGEMM_VECTORS * (int)F32_LANES)

/* The columns' own: for each product that has its own, as many as whole tiles have. */
typedef struct qgemm_columns {
  int64_t count; /* of one product, whole tiles */
  uint8_t b_flip;
  int corrects;             /* some zero point needs a correction by the sums of a's rows */
  const float *multipliers; /* NULL where the sums are wanted */
  const int32_t *zeros;     /* of b as it is packed */
} qgemm_columns;

typedef struct qgemm {
  int64_t batch, m, n, k;
  int threads;
  dot_source a;
  int32_t y_zero;
  quantized_range y_range;
  qgemm_columns columns;
  int64_t columns_stride; /* from a product's columns to the next's: columns.count, or 0 */

  /* Of product i, number i % packed_count: QGEMM packed form, packed_stride bytes apart. */
  const char *packed_b;
  int64_t packed_count, packed_stride;
  const int32_t *bias; /* or NULL; bias_stride from a product's to the next's */
  int64_t bias_stride;

  uint8_t *y;
  int32_t *sums; /* instead of y, where it isn't NULL */
  int64_t y_batch_stride, y_row_stride;

  /* Writes k values of each row, `stride` apart, in the form of `a`; up to QGEMM_SLACK values past
   * them may be overwritten. */
  void (*pack_rows)(const void *context, int64_t batch, int64_t row, int rows, dot_value *to,
                    int64_t stride);
  /* Where a row lies, followed by the others rows_stride apart; NULL: they are packed. */
  const uint8_t *(*place_rows)(const void *context, int64_t batch, int64_t row);
  int64_t rows_stride;
  const void *context;
} qgemm;

/* How b's values lie: value p of a column is that of channel p % channels and of tap
 * p / channels, which is number tap % row_taps of row tap / row_taps. The strides lead from one to
 * the next of each. */
typedef struct qgemm_b {
  const uint8_t *values;
  int64_t channels, row_taps;
  int64_t channel_stride, tap_stride, row_stride, column_stride;
  /* What is subtracted where values have 16 bits: the columns' own, or where NULL one of all. */
  const int32_t *zeros;
  int32_t zero;
} qgemm_b;

/* A packed row is followed by at least as many values. */
enum { QGEMM_SLACK = KP_ALIGNMENT / sizeof(dot_value) };

typedef struct qgemm_plan {
  int64_t block_rows, row_stride; /* of `a` packed, in rows and values */
  int64_t task_rows, task_columns;
  int threads;
} qgemm_plan;

/* Lanes of k, as many as are loaded at once. */
#ifdef LEVEL_MATRIX_I8
#define QGEMM_LANES 2
#else
#define QGEMM_LANES 1
#endif
static inline int64_t qgemm_lanes(int64_t k) {
  return kernel_round_up((k + DOT_VALUES - 1) / DOT_VALUES, QGEMM_LANES);
}
/* Whether stored bytes are the form of `a`: whole lanes of values of 8 bits with the right sign. */
static inline int qgemm_reads_bytes(const qgemm *g) {
  return DOT_VALUES == 4 && !dot_row_source(g->a).flip && qgemm_lanes(g->k) * DOT_VALUES == g->k;
}
static inline int64_t qgemm_columns_count(int64_t n) { return kernel_round_up(n, QGEMM_COLUMNS); }
/* Bytes of one packed product: sums of the columns, then tiles of [lane of k][column]. */
static inline int64_t qgemm_packed_bytes(int64_t n, int64_t k) {
  return kernel_multiply(qgemm_columns_count(n), kernel_multiply(qgemm_lanes(k), 4) + 4);
}

qgemm_plan LEVEL_NAME(qgemm_make_plan)(const qgemm *g);
int64_t LEVEL_NAME(qgemm_scratch_bytes)(const qgemm_plan *plan);
void LEVEL_NAME(qgemm_run)(const qgemm *g, const qgemm_plan *plan, void *scratch);
/* Packs b of one product. */
void LEVEL_NAME(qgemm_pack_b)(const qgemm *g, const qgemm_b *b, void *destination);

/* Seconds of one thread. */
double LEVEL_NAME(qgemm_seconds)(const qgemm *g);

#endif
