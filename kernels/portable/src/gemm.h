/*
 * The blocked multiplication that matmul and the convolutions share:
 * result[m][n] = a[m][k] * b[k][n] for each of `batch` products.
 *
 * Where the operands come from and where the result goes are functions of the caller: an operand
 * is either packed in advance or packed block by block into scratch while it is needed, and each
 * finished tile is handed over to be stored. Rows are cut into tiles of near-equal size (at most
 * MR), columns into tiles of NR.
 *
 * The order of summation depends on k alone, so that results don't depend on the threads.
 */
#ifndef PORTABLE_GEMM_H
#define PORTABLE_GEMM_H

#include "kernel.h"
#include "micro.h"

typedef struct gemm {
  int64_t batch, m, n, k;
  int a_format;
  const micro_table *micro;
  int threads; /* as many as may be used */

  /* An operand packed in advance, or NULL. The rows' tiles follow one another, each of
   * gemm_packed_k(k) * rows values; so do the columns' tiles, each of k * NR. The operand of
   * product i is number i % packed_count, packed_stride values from one to the next. */
  const real *packed_a, *packed_b;
  int64_t packed_count, packed_stride;

  /* Else: packs k's range [p, p + count) of the rows [row, row + rows), a tile, in a_format. */
  void (*pack_a)(const void *context, int64_t batch, int64_t row, int rows, int64_t p,
                 int64_t count, real *destination);
  /* Packs the columns [column, column + columns), a tile: NR values for each p, those past
   * `columns` zero. */
  void (*pack_b)(const void *context, int64_t batch, int64_t column, int columns, int64_t p,
                 int64_t count, real *destination);
  /* Takes a tile's sums: rows of `width` values, of which the first `columns` count; may
   * overwrite them. */
  void (*finish)(const void *context, int64_t batch, int64_t row, int rows, int64_t column,
                 int columns, real *tile, int width);
  /* Optional: where a tile of whole vectors may be stored at once, with what is added on the way;
   * fills in the output and returns 1, or returns 0 for finish to be called. */
  int (*place)(const void *context, int64_t batch, int64_t row, int64_t column,
               micro_output *output);
  /* Optional: the second operand's element (0, column), where its rows may be read as they lie,
   * direct_stride apart: a tile of whole vectors isn't packed then. */
  const real *(*direct_b)(const void *context, int64_t batch, int64_t column);
  int64_t direct_stride;
  const void *context;
} gemm;

/* How a product is cut up; a function of the sizes and of which operands are packed. */
typedef struct gemm_plan {
  int64_t row_tiles, column_tiles;            /* of the whole product */
  int64_t task_rows, task_columns;            /* tasks along each: a thread's share */
  int64_t block_rows, block_columns, block_k; /* tiles, tiles, values */
  int64_t a_values, b_values, sums_values;    /* a thread's scratch */
  int threads;
} gemm_plan;

/* Values that a packed tile takes of each row: k filled up to whole chunks. */
static inline int64_t gemm_packed_k(int64_t k, int a_format) {
  return a_format == A_CHUNKS ? (k + A_CHUNK - 1) / A_CHUNK * A_CHUNK : k;
}
static inline int64_t gemm_packed_a_values(int64_t m, int64_t k, int a_format) {
  return kernel_multiply(m, gemm_packed_k(k, a_format));
}
static inline int64_t gemm_packed_b_values(int64_t n, int64_t k) {
  return kernel_multiply(kernel_round_up(n, NR), k);
}
static inline int64_t gemm_row_tiles(int64_t m, int a_format) {
  return (m + micro_rows(a_format) - 1) / micro_rows(a_format);
}
/* The first row of a tile; of the tile past the last: m. */
static inline int64_t gemm_tile_row(int64_t m, int a_format, int64_t tile) {
  int64_t begin, end;
  kernel_split(m, gemm_row_tiles(m, a_format), tile, &begin, &end);
  return begin;
}

gemm_plan REAL_BASE_NAME(gemm_make_plan)(const gemm *g);
int64_t REAL_BASE_NAME(gemm_scratch_bytes)(const gemm_plan *plan);
void REAL_BASE_NAME(gemm_run)(const gemm *g, const gemm_plan *plan, void *scratch);

/* Packs a whole operand in advance by the functions that pack its tiles. */
void REAL_BASE_NAME(gemm_pack_a)(const gemm *g, int64_t batch, real *destination);
void REAL_BASE_NAME(gemm_pack_b)(const gemm *g, int64_t batch, real *destination);

#endif
