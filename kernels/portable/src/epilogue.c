#include "epilogue.h"

#include <math.h>

#if REAL_BITS == 64

static double activate(const epilogue_step *s, double x) {
  switch (s->kind) {
    case EPILOGUE_RELU:
      return x < 0 ? 0 : x;
    case EPILOGUE_SIGMOID:
      return 1 / (1 + exp(-x));
    case EPILOGUE_TANH:
      return tanh(x);
    case EPILOGUE_SILU:
      return x / (1 + exp(-x));
    case EPILOGUE_HARD_SWISH: {
      double gate = x / 6 + 0.5;
      return x * (gate < 0 ? 0 : gate > 1 ? 1 : gate);
    }
    case EPILOGUE_CLIP:
      x = x < s->alpha ? s->alpha : x;
      return x > s->beta ? s->beta : x;
    case EPILOGUE_HARD_SIGMOID: {
      double y = s->alpha * x + s->beta;
      return y < 0 ? 0 : y > 1 ? 1 : y;
    }
    case EPILOGUE_LEAKY_RELU:
      return x < 0 ? s->alpha * x : x;
    case EPILOGUE_ELU:
      return x < 0 ? s->alpha * expm1(x) : x;
    case EPILOGUE_GELU:
      return s->alpha == 1 ? 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
                           : 0.5 * x * erfc(-x * 0.7071067811865476);
    case EPILOGUE_LINEAR:
      return s->alpha * x + s->beta;
    default:
      return x;
  }
}

static void apply_activation(const epilogue_step *s, double *values, int count) {
  for (int i = 0; i < count; i++) values[i] = activate(s, values[i]);
}

#else

#include "activation.h"

LEVEL_INLINE f32v clip(float low, float high, f32v x) {
  return min_f32(broadcast_f32(high), max_f32(broadcast_f32(low), x));
}
LEVEL_INLINE f32v relu(f32v x, float a, float b) {
  (void)a, (void)b;
  return max_f32((f32v){0}, x);
}
LEVEL_INLINE f32v sigmoid(f32v x, float a, float b) {
  (void)a, (void)b;
  return sigmoid_f32(x);
}
LEVEL_INLINE f32v hyperbolic_tangent(f32v x, float a, float b) {
  (void)a, (void)b;
  return tanh_f32(x);
}
LEVEL_INLINE f32v silu(f32v x, float a, float b) {
  (void)a, (void)b;
  return silu_f32(x);
}
LEVEL_INLINE f32v hard_swish(f32v x, float a, float b) {
  (void)a, (void)b;
  return x * clip(0, 1, fma_f32(x, broadcast_f32(1.0f / 6), broadcast_f32(0.5f)));
}
LEVEL_INLINE f32v clip_between(f32v x, float a, float b) { return clip(a, b, x); }
LEVEL_INLINE f32v hard_sigmoid(f32v x, float a, float b) {
  return clip(0, 1, fma_f32(x, broadcast_f32(a), broadcast_f32(b)));
}
LEVEL_INLINE f32v leaky_relu(f32v x, float a, float b) {
  (void)b;
  return select_f32(x < 0, a * x, x);
}
LEVEL_INLINE f32v elu(f32v x, float a, float b) {
  (void)b;
  return elu_f32(x, broadcast_f32(a));
}
LEVEL_INLINE f32v gelu(f32v x, float a, float b) {
  (void)b;
  return a == 1 ? gelu_tanh_f32(x) : gelu_f32(x);
}
LEVEL_INLINE f32v linear(f32v x, float a, float b) {
  return fma_f32(x, broadcast_f32(a), broadcast_f32(b));
}

#define EACH_VECTOR(function)                                    \
  for (int i = 0; i < count; i += REAL_LANES)                    \
    store_f32(values + i, function(load_f32(values + i), a, b)); \
  break

static void apply_activation(const epilogue_step *s, float *values, int count) {
  float a = (float)s->alpha, b = (float)s->beta;
  switch (s->kind) {
    case EPILOGUE_RELU:
      EACH_VECTOR(relu);
    case EPILOGUE_SIGMOID:
      EACH_VECTOR(sigmoid);
    case EPILOGUE_TANH:
      EACH_VECTOR(hyperbolic_tangent);
    case EPILOGUE_SILU:
      EACH_VECTOR(silu);
    case EPILOGUE_HARD_SWISH:
      EACH_VECTOR(hard_swish);
    case EPILOGUE_CLIP:
      EACH_VECTOR(clip_between);
    case EPILOGUE_HARD_SIGMOID:
      EACH_VECTOR(hard_sigmoid);
    case EPILOGUE_LEAKY_RELU:
      EACH_VECTOR(leaky_relu);
    case EPILOGUE_ELU:
      EACH_VECTOR(elu);
    case EPILOGUE_GELU:
      EACH_VECTOR(gelu);
    case EPILOGUE_LINEAR:
      EACH_VECTOR(linear);
    default:
      break;
  }
}

#endif

LEVEL_INLINE void combine(storage s, int add, const void *other, int64_t offset, real *values,
                          int count) {
  for (int i = 0; i < count; i += REAL_LANES) {
    realv x = load_real(values + i);
    realv y = load_stored(s, other, offset + i, count - i < REAL_LANES ? count - i : REAL_LANES);
    store_real(values + i, add ? x + y : x * y);
  }
}

void REAL_BASE_NAME(epilogue_apply)(const epilogue *e, void *const *buffers, int64_t offset,
                                    real *values, int count) {
  for (int i = 0; i < e->count; i++) {
    const epilogue_step *s = &e->steps[i];
    if (s->kind == EPILOGUE_ADD)
      FOR_STORAGE(e->stored, combine, 1, buffers[s->input], offset, values, count);
    else if (s->kind == EPILOGUE_MUL)
      FOR_STORAGE(e->stored, combine, 0, buffers[s->input], offset, values, count);
    else
      apply_activation(s, values, count);
  }
}

/* ---- Tiles -------------------------------------------------------------------- */

/* Rows of which a vector each takes all steps in registers. */
#define ROWS 4
#define UNROLL _Pragma("GCC unroll 4")

/* What a step makes of `rows` vectors, of which `count` elements go to the output's from `to` on,
 * rows `stride` apart. */
LEVEL_INLINE void take_step(storage stored, const epilogue_step *step, void *const *buffers,
                            int rows, int64_t to, int64_t stride, int count, realv v[ROWS]) {
  switch (step->kind) {
    case EPILOGUE_ADD:
      UNROLL for (int i = 0; i < rows; i++) v[i] +=
          load_stored(stored, buffers[step->input], to + i * stride, count);
      return;
    case EPILOGUE_MUL:
      UNROLL for (int i = 0; i < rows; i++) v[i] *=
          load_stored(stored, buffers[step->input], to + i * stride, count);
      return;
#if REAL_BITS == 32
#define EACH_ROW(function)                                   \
  UNROLL for (int i = 0; i < rows; i++) v[i] =               \
      function(v[i], (float)step->alpha, (float)step->beta); \
  return
    case EPILOGUE_RELU:
      EACH_ROW(relu);
    case EPILOGUE_HARD_SWISH:
      EACH_ROW(hard_swish);
    case EPILOGUE_CLIP:
      EACH_ROW(clip_between);
    case EPILOGUE_HARD_SIGMOID:
      EACH_ROW(hard_sigmoid);
    case EPILOGUE_LEAKY_RELU:
      EACH_ROW(leaky_relu);
    case EPILOGUE_LINEAR:
      EACH_ROW(linear);
#endif
    default: { /* Larger ones are there once. */
      real values[ROWS * REAL_LANES];
      UNROLL for (int i = 0; i < rows; i++) store_real(values + i * REAL_LANES, v[i]);
      apply_activation(step, values, rows * REAL_LANES);
      UNROLL for (int i = 0; i < rows; i++) v[i] = load_real(values + i * REAL_LANES);
    }
  }
}

LEVEL_INLINE void finish_block(storage stored, int rows, const epilogue *e, void *const *buffers,
                               const epilogue_tile *t, int row, int column, int count) {
  const realv scale = broadcast_real(t->scale);
  const real *from = t->values + (int64_t)row * t->width + column;
  const int64_t to = t->offset + row * t->row_stride + column;
  realv v[ROWS], bias = t->column_bias ? load_real(t->column_bias + column) : (realv){0};
  UNROLL for (int i = 0; i < rows; i++) {
    if (t->row_bias) bias = broadcast_real(t->row_bias[row + i]);
    v[i] = fma_real(load_real(from + i * t->width), scale, bias);
  }
  for (int k = 0; k < e->count; k++)
    take_step(stored, &e->steps[k], buffers, rows, to, t->row_stride, count, v);
  UNROLL for (int i = 0; i < rows; i++)
      store_stored(stored, t->output, to + i * t->row_stride, v[i], count);
}

LEVEL_INLINE void finish_rows(storage stored, int rows, const epilogue *e, void *const *buffers,
                              const epilogue_tile *t, int row) {
  int column = 0;
  for (; column + REAL_LANES <= t->columns; column += REAL_LANES)
    finish_block(stored, rows, e, buffers, t, row, column, REAL_LANES);
  if (column < t->columns)
    finish_block(stored, rows, e, buffers, t, row, column, t->columns - column);
}

LEVEL_INLINE void finish_tile(storage stored, const epilogue *e, void *const *buffers,
                              const epilogue_tile *t) {
  int row = 0;
  for (; row + ROWS <= t->rows; row += ROWS) finish_rows(stored, ROWS, e, buffers, t, row);
  for (; row < t->rows; row++) finish_rows(stored, 1, e, buffers, t, row);
}

void REAL_BASE_NAME(epilogue_store)(const epilogue *e, void *const *buffers,
                                    const epilogue_tile *t) {
  FOR_STORAGE(e->stored, finish_tile, e, buffers, t);
}
