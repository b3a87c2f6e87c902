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
LEVEL_INLINE realv multiply(realv sum, const real *a, const real *b) {
  return dot_bf16(sum, broadcast_bf16_pair(a), (u32v)load_f32(b));
}
#else
LEVEL_INLINE realv multiply(realv sum, const real *a, const real *b) {
  return fma_real(broadcast_real(*a), load_real(b), sum);
}
#endif

SPECIALISED void step(int rows, int vectors, realv sum[MR][NV], const real *a, int64_t row_stride,
                      const real *b) {
  UNROLL for (int i = 0; i < rows; i++) {
    UNROLL for (int j = 0; j < vectors; j++) sum[i][j] =
        multiply(sum[i][j], a + i * row_stride, b + j * REAL_LANES);
  }
}

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
  else
    EACH_VECTOR((realv){0})
  if (format == A_COLUMNS) {
    for (; k > 0; k--, a += rows, b += b_stride) step(rows, vectors, sum, a, 1, b);
  } else {
    for (; k > 0; k -= A_CHUNK, a += a_stride)
      for (int64_t p = 0; p < (k < A_CHUNK ? k : A_CHUNK); p++, b += b_stride)
        step(rows, vectors, sum, a + p, A_CHUNK, b);
  }
  if (output->row_bias) EACH_VECTOR(sum[i][j] + broadcast_real(output->row_bias[i]))
  if (output->column_bias) EACH_VECTOR(sum[i][j] + load_real(output->column_bias + j * REAL_LANES))
  if (output->addend)
    EACH_VECTOR(sum[i][j] + load_real(output->addend + i * output->stride + j * REAL_LANES))
  if (output->relu) EACH_VECTOR(relu_real(sum[i][j]))
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

#if MR == 14
#define EACH_ROWS(do, ...)                                                                         \
  do                                                                                               \
  (__VA_ARGS__, 1) do(__VA_ARGS__, 2) do(__VA_ARGS__, 3) do(__VA_ARGS__, 4) do(__VA_ARGS__, 5) do( \
      __VA_ARGS__, 6) do(__VA_ARGS__, 7) do(__VA_ARGS__,                                           \
                                            8) do(__VA_ARGS__,                                     \
                                                  9) do(__VA_ARGS__,                               \
                                                        10) do(__VA_ARGS__,                        \
                                                               11) do(__VA_ARGS__,                 \
                                                                      12) do(__VA_ARGS__,          \
                                                                             13) do(__VA_ARGS__,   \
                                                                                    14)
#else
#define EACH_ROWS(do, ...)                                                                         \
  do                                                                                               \
  (__VA_ARGS__, 1) do(__VA_ARGS__, 2) do(__VA_ARGS__, 3) do(__VA_ARGS__, 4) do(__VA_ARGS__, 5) do( \
      __VA_ARGS__, 6)
#endif

EACH_ROWS(DEFINE, A_COLUMNS, 1)
EACH_ROWS(DEFINE, A_COLUMNS, 2)
EACH_ROWS(DEFINE, A_CHUNKS, 1)
EACH_ROWS(DEFINE, A_CHUNKS, 2)

const micro_table REAL_NAME(micro) = {
    {{EACH_ROWS(NAME, A_COLUMNS, 1)}, {EACH_ROWS(NAME, A_COLUMNS, 2)}},
    {{EACH_ROWS(NAME, A_CHUNKS, 1)}, {EACH_ROWS(NAME, A_CHUNKS, 2)}},
};
