#include "micro.h"

/* Specialised to each size; except where every access is instrumented, which would take minutes to
 * compile. */
#ifdef __SANITIZE_ADDRESS__
#define UNROLL
#define SPECIALISED static __attribute__((noinline))
#else
#define UNROLL _Pragma("GCC unroll 16")
#define SPECIALISED LEVEL_INLINE
#endif

#if REAL_PAIRS
LEVEL_INLINE realv multiply(realv sum, const real *a, realv b) {
  return dot_bf16(sum, broadcast_bf16_pair(a), (u32v)b);
}
#else
LEVEL_INLINE realv multiply(realv sum, const real *a, realv b) {
  return fma_real(broadcast_real(*a), b, sum);
}
#endif

/* sum[i] += a[i] * b for one value of k; the rows' elements are row_stride apart. */
SPECIALISED void step(int rows, int vectors, realv sum[MR][NV], const real *a, int64_t row_stride,
                      const real *b) {
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int j = 0; j < vectors; j++) sum[i][j] =
        multiply(sum[i][j], a + i * row_stride, load_real(b + j * REAL_LANES));
  }
}

#ifdef LEVEL_LANE_PRODUCTS

#if REAL_PAIRS
LEVEL_INLINE realv multiply_lane(realv sum, realv a, int lane, realv b) {
  return dot_bf16_lane(sum, (u32v)a, lane, (u32v)b);
}
#else
LEVEL_INLINE realv multiply_lane(realv sum, realv a, int lane, realv b) {
  return fma_real(broadcast_real(a[lane]), b, sum);
}
#endif

/* The rows' elements by vectors, the last of which ends with the last row. */
SPECIALISED void step_column(int rows, int vectors, realv sum[MR][NV], const real *a,
                             const real *b) {
  if (rows < REAL_LANES) {
    step(rows, vectors, sum, a, 1, b);
    return;
  }
  realv column[(MR + REAL_LANES - 1) / REAL_LANES];
  UNROLL for (int i = 0; i < rows; i += REAL_LANES) column[i / REAL_LANES] =
      load_real(a + (i < rows - REAL_LANES ? i : rows - REAL_LANES));
  UNROLL for (int j = 0; j < vectors; j++) {
    realv row = load_real(b + j * REAL_LANES);
    UNROLL for (int i = 0; i < rows; i++) {
      const int first = i / REAL_LANES * REAL_LANES;
      const int lane = i - (first < rows - REAL_LANES ? first : rows - REAL_LANES);
      sum[i][j] = multiply_lane(sum[i][j], column[i / REAL_LANES], lane, row);
    }
  }
}

/* A whole chunk: each row's in a vector. */
SPECIALISED void step_chunk(int rows, int vectors, realv sum[MR][NV], const real *a, const real *b,
                            int64_t b_stride) {
  realv row[MR];
  UNROLL for (int i = 0; i < rows; i++) row[i] = load_real(a + i * A_CHUNK);
  UNROLL for (int p = 0; p < A_CHUNK; p++) {
    LEVEL_KEEP_LOADS;
    UNROLL for (int j = 0; j < vectors; j++) {
      realv column = load_real(b + p * b_stride + j * REAL_LANES);
      UNROLL for (int i = 0; i < rows; i++) sum[i][j] = multiply_lane(sum[i][j], row[i], p, column);
    }
  }
}

SPECIALISED void multiply_columns(int rows, int vectors, realv sum[MR][NV], int64_t k,
                                  const real *a, const real *b, int64_t b_stride) {
  for (; k >= 4; k -= 4) UNROLL for (int p = 0; p < 4; p++, a += rows, b += b_stride) {
      LEVEL_KEEP_LOADS;
      step_column(rows, vectors, sum, a, b);
    }
  for (; k > 0; k--, a += rows, b += b_stride) step_column(rows, vectors, sum, a, b);
}

SPECIALISED void multiply_chunks(int rows, int vectors, realv sum[MR][NV], int64_t k, const real *a,
                                 int64_t a_stride, const real *b, int64_t b_stride) {
  for (; k >= A_CHUNK; k -= A_CHUNK, a += a_stride, b += A_CHUNK * b_stride)
    step_chunk(rows, vectors, sum, a, b, b_stride);
  for (; k > 0; k--, a++, b += b_stride) step(rows, vectors, sum, a, A_CHUNK, b);
}

#else

SPECIALISED void multiply_columns(int rows, int vectors, realv sum[MR][NV], int64_t k,
                                  const real *a, const real *b, int64_t b_stride) {
  for (; k > 0; k--, a += rows, b += b_stride) step(rows, vectors, sum, a, 1, b);
}

SPECIALISED void multiply_chunks(int rows, int vectors, realv sum[MR][NV], int64_t k, const real *a,
                                 int64_t a_stride, const real *b, int64_t b_stride) {
  for (; k > 0; k -= A_CHUNK, a += a_stride)
    for (int64_t p = 0; p < (k < A_CHUNK ? k : A_CHUNK); p++, b += b_stride)
      step(rows, vectors, sum, a + p, A_CHUNK, b);
}

#endif

#define EACH_VECTOR(body)                                      \
  UNROLL for (int i = 0; i < rows; i++) {                      \
    UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = body; \
  }

SPECIALISED void multiply_tile(int rows, int vectors, int format, int64_t k, const real *a,
                               int64_t a_stride, const real *b, int64_t b_stride,
                               const micro_output *output) {
  realv sum[MR][NV];
  if (output->sums)
    EACH_VECTOR(load_real(output->sums + (i * vectors + j) * REAL_LANES))
  else if (output->row_bias)
    EACH_VECTOR(broadcast_real(output->row_bias[i]))
  else
    EACH_VECTOR((realv){0})
  if (format == A_COLUMNS) multiply_columns(rows, vectors, sum, k, a, b, b_stride);
  if (format == A_CHUNKS) multiply_chunks(rows, vectors, sum, k, a, a_stride, b, b_stride);
  if (output->sums && output->row_bias) EACH_VECTOR(sum[i][j] + broadcast_real(output->row_bias[i]))
  if (output->column_bias) EACH_VECTOR(sum[i][j] + load_real(output->column_bias + j * REAL_LANES))
  if (output->addend)
    EACH_VECTOR(sum[i][j] + load_real(output->addend + i * output->stride + j * REAL_LANES))
  if (output->activation == MICRO_RELU) EACH_VECTOR(relu_real(sum[i][j]))
  if (output->activation == MICRO_CLIP) {
    const realv low = broadcast_real(output->low), high = broadcast_real(output->high);
    EACH_VECTOR(min_real(high, max_real(low, sum[i][j])))
  }
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int j = 0; j < vectors; j++)
        store_real(output->values + i * output->stride + j * REAL_LANES, sum[i][j]);
  }
}

#define DEFINE(format, vectors, rows)                                                         \
  static void micro_##format##_##vectors##_##rows(int64_t k, const real *a, int64_t a_stride, \
                                                  const real *b, int64_t b_stride,            \
                                                  const micro_output *output) {               \
    multiply_tile(rows, vectors, format, k, a, a_stride, b, b_stride, output);                \
  }
#define NAME(format, vectors, rows) micro_##format##_##vectors##_##rows,

#define ROWS_6(what, ...)                                                             \
  what(__VA_ARGS__, 1) what(__VA_ARGS__, 2) what(__VA_ARGS__, 3) what(__VA_ARGS__, 4) \
      what(__VA_ARGS__, 5) what(__VA_ARGS__, 6)
#define ROWS_7(what, ...) ROWS_6(what, __VA_ARGS__) what(__VA_ARGS__, 7)
#define ROWS_8(what, ...) ROWS_7(what, __VA_ARGS__) what(__VA_ARGS__, 8)
#define ROWS_14(what, ...)                                                               \
  ROWS_8(what, __VA_ARGS__)                                                              \
  what(__VA_ARGS__, 9) what(__VA_ARGS__, 10) what(__VA_ARGS__, 11) what(__VA_ARGS__, 12) \
      what(__VA_ARGS__, 13) what(__VA_ARGS__, 14)
#define ROWS_(count) ROWS_##count
#define ROWS(count) ROWS_(count)
#define COLUMNS(what, vectors) ROWS(LEVEL_TILE_ROWS)(what, A_COLUMNS, vectors)
#define CHUNKS(what, vectors) ROWS(LEVEL_TILE_ROWS_CHUNKED)(what, A_CHUNKS, vectors)

COLUMNS(DEFINE, 1)
COLUMNS(DEFINE, 2)
CHUNKS(DEFINE, 1)
CHUNKS(DEFINE, 2)
#if NV == 2
const micro_table REAL_NAME(micro) = {
    {{COLUMNS(NAME, 1)}, {COLUMNS(NAME, 2)}},
    {{CHUNKS(NAME, 1)}, {CHUNKS(NAME, 2)}},
};
#else
COLUMNS(DEFINE, 3)
CHUNKS(DEFINE, 3)
const micro_table REAL_NAME(micro) = {
    {{COLUMNS(NAME, 1)}, {COLUMNS(NAME, 2)}, {COLUMNS(NAME, 3)}},
    {{CHUNKS(NAME, 1)}, {CHUNKS(NAME, 2)}, {CHUNKS(NAME, 3)}},
};
#endif
