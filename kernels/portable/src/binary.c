/* Operators of two floating inputs that broadcast. */
#include "binary.h"

#include "math_real.h"

/* ---- Arithmetic, by vectors ---------------------------------------------- */

typedef realv vector_function(realv a, realv b);

enum { NARROW = 64 }; /* rows up to here are worked on by columns, where b is one row for all */

LEVEL_INLINE realv load_lanes(const real *p, int lanes) {
  return lanes == (int)REAL_LANES ? load_real(p) : load_real_first(p, lanes);
}
LEVEL_INLINE void store_lanes(real *p, realv v, int lanes) {
  if (lanes == (int)REAL_LANES)
    store_real(p, v);
  else
    store_real_first(p, v, lanes);
}

LEVEL_INLINE void narrow_rows(const real *a, const real *b, real *y, const broadcast_rows *r,
                              vector_function *f) {
  for (int64_t i = 0; i < r->count; i += REAL_LANES) {
    int lanes = r->count - i < (int)REAL_LANES ? (int)(r->count - i) : (int)REAL_LANES;
    realv row = r->inner[1] ? load_lanes(b + i, lanes) : broadcast_real(*b);
    for (int64_t j = 0; j < r->rows; j++)
      store_lanes(y + j * r->count + i, f(load_lanes(a + j * r->row[0] + i, lanes), row), lanes);
  }
}

LEVEL_INLINE void by_vector(const real *a, const real *b, real *y, const broadcast_rows *r,
                            vector_function *f) {
  const int64_t n = r->count, whole = n - n % (int)REAL_LANES;
  const int rest = (int)(n - whole);
  if (n <= NARROW && r->rows > 1 && r->inner[0] && r->row[1] == 0) {
    narrow_rows(a, b, y, r, f);
    return;
  }
  for (int64_t j = 0; j < r->rows; j++, a += r->row[0], b += r->row[1], y += n) {
    realv one_a = broadcast_real(*a), one_b = broadcast_real(*b);
    if (r->inner[0] && r->inner[1]) {
      for (int64_t i = 0; i < whole; i += REAL_LANES)
        store_real(y + i, f(load_real(a + i), load_real(b + i)));
      if (rest)
        store_real_first(
            y + whole, f(load_real_first(a + whole, rest), load_real_first(b + whole, rest)), rest);
    } else if (r->inner[0]) {
      for (int64_t i = 0; i < whole; i += REAL_LANES) store_real(y + i, f(load_real(a + i), one_b));
      if (rest) store_real_first(y + whole, f(load_real_first(a + whole, rest), one_b), rest);
    } else {
      for (int64_t i = 0; i < whole; i += REAL_LANES) store_real(y + i, f(one_a, load_real(b + i)));
      if (rest) store_real_first(y + whole, f(one_a, load_real_first(b + whole, rest)), rest);
    }
  }
}

#define ARITHMETIC(name, expression)                                                  \
  LEVEL_INLINE realv name##_of(realv a, realv b) {                                    \
    (void)b;                                                                          \
    return (expression);                                                              \
  }                                                                                   \
  static void name(const void *a, const void *b, void *y, const broadcast_rows *rows, \
                   const binary_context *context) {                                   \
    (void)context;                                                                    \
    by_vector(a, b, y, rows, name##_of);                                              \
  }

ARITHMETIC(add, a + b)
ARITHMETIC(sub, a - b)
ARITHMETIC(mul, a *b)
ARITHMETIC(div_elements, a / b)
ARITHMETIC(maximum, maximum_real(a, b))
ARITHMETIC(minimum, minimum_real(a, b))
ARITHMETIC(prelu, select_real(a < 0, a *b, a))

/* ---- Comparisons and powers, by elements --------------------------------- */

#define BY_ELEMENT(name, result, expression)                                                 \
  static void name(const void *first, const void *second, void *to, const broadcast_rows *r, \
                   const binary_context *context) {                                          \
    (void)context;                                                                           \
    const real *x = first, *z = second;                                                      \
    result *y = to;                                                                          \
    for (int64_t j = 0; j < r->rows; j++, x += r->row[0], z += r->row[1], y += r->count) {   \
      if (r->inner[0] && r->inner[1]) {                                                      \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < r->count; i++) {                        \
          const real a = x[i], b = z[i];                                                     \
          y[i] = (expression);                                                               \
        }                                                                                    \
      } else if (r->inner[0]) {                                                              \
        const real b = *z;                                                                   \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < r->count; i++) {                        \
          const real a = x[i];                                                               \
          y[i] = (expression);                                                               \
        }                                                                                    \
      } else {                                                                               \
        const real a = *x;                                                                   \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < r->count; i++) {                        \
          const real b = z[i];                                                               \
          y[i] = (expression);                                                               \
        }                                                                                    \
      }                                                                                      \
    }                                                                                        \
  }

BY_ELEMENT(equal, uint8_t, a == b)
BY_ELEMENT(not_equal, uint8_t, a != b)
BY_ELEMENT(less, uint8_t, a < b)
BY_ELEMENT(less_equal, uint8_t, a <= b)
BY_ELEMENT(greater, uint8_t, a > b)
BY_ELEMENT(greater_equal, uint8_t, a >= b)

#if REAL_BITS == 64
#define pow_element pow
#else
#define pow_element powf
#endif
BY_ELEMENT(pow_any, real, pow_element(a, b))

#if REAL_BITS == 64
#define fmod_element fmod
#define copysign_element copysign
#else
#define fmod_element fmodf
#define copysign_element copysignf
#endif
/* With the divisor's sign, zeros too. */
LEVEL_INLINE real mod_element(real a, real b) {
  const real rest = fmod_element(a, b);
  return rest == 0 ? copysign_element(0, b) : (rest < 0) != (b < 0) ? rest + b : rest;
}
BY_ELEMENT(fmod_elements, real, fmod_element(a, b))
BY_ELEMENT(mod_elements, real, mod_element(a, b))
ARITHMETIC(square, a *a)

/* Squares are by far the most frequent powers. */
static void pow_elements(const void *a, const void *b, void *y, const broadcast_rows *rows,
                         const binary_context *context) {
  int is_square =
      !rows->inner[1] && (rows->rows == 1 || rows->row[1] == 0) && *(const real *)b == 2;
  (is_square ? square : pow_any)(a, b, y, rows, context);
}

// clang-format off
#define FOR_EACH_ARITHMETIC(OPERATOR) \
  OPERATOR(add, add, 0)               \
  OPERATOR(sub, sub, 0)               \
  OPERATOR(mul, mul, 0)               \
  OPERATOR(div, div_elements, 0.2e-9) \
  OPERATOR(maximum, maximum, 0)       \
  OPERATOR(minimum, minimum, 0)       \
  OPERATOR(prelu, prelu, 0)           \
  OPERATOR(pow, pow_elements, 1e-8)   \
  OPERATOR(mod, mod_elements, 1e-8)   \
  OPERATOR(fmod, fmod_elements, 1e-8)
// clang-format on
#define FOR_EACH_COMPARISON(OPERATOR) \
  OPERATOR(equal, equal, 0)           \
  OPERATOR(not_equal, not_equal, 0)   \
  OPERATOR(less, less, 0)             \
  OPERATOR(less_equal, less_equal, 0) \
  OPERATOR(greater, greater, 0) OPERATOR(greater_equal, greater_equal, 0)

#if REAL_BITS == 64

#define DOUBLE(name, called, time)                                                  \
  BINARY_KERNEL("portable." #name ".simd.f64", .function = called, .seconds = time, \
                .operands = ELEMENT_f64, .y = ELEMENT_f64),
#define DOUBLE_TO_BOOL(name, called, time)                                          \
  BINARY_KERNEL("portable." #name ".simd.f64", .function = called, .seconds = time, \
                .operands = ELEMENT_f64, .y = ELEMENT_bool),
static const kp_kernel list[] = {FOR_EACH_ARITHMETIC(DOUBLE) FOR_EACH_COMPARISON(DOUBLE_TO_BOOL)};
const kp_kernel_list LEVEL_NAME(binary_f64_kernels) = KERNEL_LIST(list);

#else

/* ---- Half-width elements, through buffers of floats ---------------------- */

enum { BUFFER = 512 };

#define THROUGH_FLOAT(type)                                                                     \
  static void widen_##type(const uint16_t *from, float *to, int64_t n) {                        \
    for (int64_t i = 0; i < n; i += F32_LANES) {                                                \
      int lanes = n - i < (int)F32_LANES ? (int)(n - i) : (int)F32_LANES;                       \
      store_f32(to + i, load_##type##_first(from + i, lanes));                                  \
    }                                                                                           \
  }                                                                                             \
  static void through_##type(const void *first, const void *second, void *to,                   \
                             const broadcast_rows *r, const binary_context *context) {          \
    const uint16_t *a = first, *b = second;                                                     \
    const int is_bool = context->y.bits == 8;                                                   \
    float a_buffer[BUFFER], b_buffer[BUFFER];                                                   \
    for (int64_t j = 0; j < r->rows; j++, a += r->row[0], b += r->row[1])                       \
      for (int64_t i = 0; i < r->count; i += BUFFER) {                                          \
        broadcast_rows part = *r;                                                               \
        part.rows = 1;                                                                          \
        part.count = r->count - i < BUFFER ? r->count - i : BUFFER;                             \
        widen_##type(a + i * r->inner[0], a_buffer, r->inner[0] ? part.count : 1);              \
        widen_##type(b + i * r->inner[1], b_buffer, r->inner[1] ? part.count : 1);              \
        const int64_t at = j * r->count + i;                                                    \
        if (is_bool) {                                                                          \
          context->inner(a_buffer, b_buffer, (uint8_t *)to + at, &part, context);               \
          continue;                                                                             \
        }                                                                                       \
        context->inner(a_buffer, b_buffer, r->inner[0] ? a_buffer : b_buffer, &part, context);  \
        const float *result = r->inner[0] ? a_buffer : b_buffer;                                \
        for (int64_t k = 0; k < part.count; k += F32_LANES) {                                   \
          int lanes = part.count - k < (int)F32_LANES ? (int)(part.count - k) : (int)F32_LANES; \
          store_##type##_first((uint16_t *)to + at + k, load_f32(result + k), lanes);           \
        }                                                                                       \
      }                                                                                         \
  }
THROUGH_FLOAT(bf16)
THROUGH_FLOAT(f16)

#define FLOAT(name, called, time)                                                   \
  BINARY_KERNEL("portable." #name ".simd.f32", .function = called, .seconds = time, \
                .operands = ELEMENT_f32, .y = ELEMENT_f32),
#define FLOAT_TO_BOOL(name, called, time)                                           \
  BINARY_KERNEL("portable." #name ".simd.f32", .function = called, .seconds = time, \
                .operands = ELEMENT_f32, .y = ELEMENT_bool),
#define HALVES(name, called, time)                                                           \
  BINARY_KERNEL("portable." #name ".simd.bf16", .function = through_bf16, .inner = called,   \
                .seconds = (time) + 0.2e-9, .operands = ELEMENT_bf16, .y = ELEMENT_bf16),    \
      BINARY_KERNEL("portable." #name ".simd.f16", .function = through_f16, .inner = called, \
                    .seconds = (time) + 0.2e-9, .operands = ELEMENT_f16, .y = ELEMENT_f16),
#define HALVES_TO_BOOL(name, called, time)                                                   \
  BINARY_KERNEL("portable." #name ".simd.bf16", .function = through_bf16, .inner = called,   \
                .seconds = (time) + 0.2e-9, .operands = ELEMENT_bf16, .y = ELEMENT_bool),    \
      BINARY_KERNEL("portable." #name ".simd.f16", .function = through_f16, .inner = called, \
                    .seconds = (time) + 0.2e-9, .operands = ELEMENT_f16, .y = ELEMENT_bool),
static const kp_kernel list[] = {FOR_EACH_ARITHMETIC(FLOAT) FOR_EACH_COMPARISON(
    FLOAT_TO_BOOL) FOR_EACH_ARITHMETIC(HALVES) FOR_EACH_COMPARISON(HALVES_TO_BOOL)};
const kp_kernel_list LEVEL_NAME(binary_kernels) = KERNEL_LIST(list);

#endif
