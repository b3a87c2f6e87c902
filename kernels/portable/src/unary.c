/* Elementwise operators of one floating input. */
#include "unary.h"

#include "math_real.h"

#if REAL_BITS == 64
#define sqrt_element sqrt
#define absolute_element fabs
#define constant(x) x
#else
#define sqrt_element sqrtf
#define absolute_element fabsf
#define constant(x) x##f
#endif

/* A function of the element x, in a loop that the compiler vectorises. */
#define BY_ELEMENT(name, expression)                                                \
  static void name(const void *from, void *to, int64_t n, const unary_call *call) { \
    const real *in = from;                                                          \
    real *out = to;                                                                 \
    const real alpha = (real)call->alpha, beta = (real)call->beta;                  \
    (void)alpha, (void)beta;                                                        \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                          \
      real x = in[i];                                                               \
      out[i] = (expression);                                                        \
    }                                                                               \
  }

/* A function of the vector x. */
#define BY_VECTOR(name, expression)                                                 \
  LEVEL_INLINE realv name##_of(realv x, realv alpha) {                              \
    (void)alpha;                                                                    \
    return (expression);                                                            \
  }                                                                                 \
  static void name(const void *from, void *to, int64_t n, const unary_call *call) { \
    const real *in = from;                                                          \
    real *out = to;                                                                 \
    const realv alpha = broadcast_real((real)call->alpha);                          \
    int64_t i = 0;                                                                  \
    for (; i + (int)REAL_LANES <= n; i += REAL_LANES)                               \
      store_real(out + i, name##_of(load_real(in + i), alpha));                     \
    if (i < n) {                                                                    \
      realv x = load_real_first(in + i, (int)(n - i));                              \
      store_real_first(out + i, name##_of(x, alpha), (int)(n - i));                 \
    }                                                                               \
  }

/* NaN compares false, and so goes its own way here and below. */
LEVEL_INLINE real limited(real x, real low, real high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

BY_ELEMENT(relu, x < 0 ? 0 : x)
BY_ELEMENT(clip_elements, limited(x, alpha, beta))
BY_ELEMENT(hard_sigmoid, limited(alpha *x + beta, 0, 1))
BY_ELEMENT(hard_swish, x *limited(x / 6 + constant(0.5), 0, 1))
BY_ELEMENT(leaky_relu, x < 0 ? alpha * x : x)
BY_ELEMENT(sqrt_elements, sqrt_element(x))
BY_ELEMENT(rsqrt, 1 / sqrt_element(x))
BY_ELEMENT(abs_elements, absolute_element(x))
BY_ELEMENT(neg, -x)
BY_ELEMENT(reciprocal, 1 / x)
BY_ELEMENT(sign, x > 0 ? 1 : x < 0 ? -1 : x)

LEVEL_INLINE realv floor_of_real(realv x) {
  realv whole = rint_real(x);
  return copysign_real(select_real(whole > x, whole - 1, whole), x);
}

BY_VECTOR(sigmoid, sigmoid_real(x))
BY_VECTOR(tanh_elements, tanh_real(x))
BY_VECTOR(gelu, gelu_real(x))
BY_VECTOR(gelu_tanh, gelu_tanh_real(x))
BY_VECTOR(silu, silu_real(x))
BY_VECTOR(elu, elu_real(x, alpha))
BY_VECTOR(exp_elements, exp_real(x))
BY_VECTOR(log_elements, log_real(x))
BY_VECTOR(erf_elements, erf_real(x))
BY_VECTOR(sin_elements, sin_real(x))
BY_VECTOR(cos_elements, cos_real(x))
BY_VECTOR(atan_elements, atan_real(x))
BY_VECTOR(floor_elements, floor_of_real(x))
BY_VECTOR(ceil_elements, -floor_of_real(-x))
BY_VECTOR(round_elements, rint_real(x))

/* OPERATOR(name, function, seconds an element, more of the context) */
#define FOR_EACH_UNARY(OPERATOR)                                            \
  OPERATOR(relu, relu, 0)                                                   \
  OPERATOR(clip, clip_elements, 0, .alpha = "minimum", .beta = "maximum")   \
  OPERATOR(hard_sigmoid, hard_sigmoid, 0, .alpha = "alpha", .beta = "beta") \
  OPERATOR(hard_swish, hard_swish, 0)                                       \
  OPERATOR(leaky_relu, leaky_relu, 0, .alpha = "alpha")                     \
  OPERATOR(sqrt, sqrt_elements, 0.2e-9)                                     \
  OPERATOR(rsqrt, rsqrt, 0.4e-9)                                            \
  OPERATOR(abs, abs_elements, 0)                                            \
  OPERATOR(neg, neg, 0)                                                     \
  OPERATOR(reciprocal, reciprocal, 0.2e-9)                                  \
  OPERATOR(sign, sign, 0)                                                   \
  OPERATOR(sigmoid, sigmoid, 0.35e-9)                                       \
  OPERATOR(tanh, tanh_elements, 0.45e-9)                                    \
  OPERATOR(gelu, gelu, 0.7e-9, .choice = "approximate", .chosen = "tanh",   \
           .alternative = gelu_tanh)                                        \
  OPERATOR(silu, silu, 0.4e-9)                                              \
  OPERATOR(elu, elu, 0.35e-9, .alpha = "alpha")                             \
  OPERATOR(exp, exp_elements, 0.3e-9)                                       \
  OPERATOR(log, log_elements, 0.6e-9)                                       \
  OPERATOR(erf, erf_elements, 0.6e-9)                                       \
  OPERATOR(sin, sin_elements, 1e-9)                                         \
  OPERATOR(cos, cos_elements, 1e-9)                                         \
  OPERATOR(atan, atan_elements, 1e-9)                                       \
  OPERATOR(floor, floor_elements, 0)                                        \
  OPERATOR(ceil, ceil_elements, 0)                                          \
  OPERATOR(round, round_elements, 0)

#if REAL_BITS == 64

#define DOUBLE(name, called, time, ...)                                                  \
  UNARY_KERNEL("portable." #name ".simd.f64", .function = called, .seconds = 8 * (time), \
               .x = ELEMENT_f64, .y = ELEMENT_f64, __VA_ARGS__),
static const kp_kernel list[] = {FOR_EACH_UNARY(DOUBLE)};
const kp_kernel_list LEVEL_NAME(unary_f64_kernels) = KERNEL_LIST(list);

#else

/* Half-width elements go through a buffer of floats that stays in the first-level cache. */
enum { BUFFER = 512 };

#define THROUGH_FLOAT(type)                                                                   \
  static void through_##type(const void *from, void *to, int64_t n, const unary_call *call) { \
    const uint16_t *in = from;                                                                \
    uint16_t *out = to;                                                                       \
    float buffer[BUFFER];                                                                     \
    for (int64_t i = 0; i < n; i += BUFFER) {                                                 \
      int64_t count = n - i < BUFFER ? n - i : BUFFER;                                        \
      for (int64_t j = 0; j < count; j += F32_LANES) {                                        \
        int lanes = count - j < (int)F32_LANES ? (int)(count - j) : (int)F32_LANES;           \
        store_f32(buffer + j, load_##type##_first(in + i + j, lanes));                        \
      }                                                                                       \
      call->inner(buffer, buffer, count, call);                                               \
      for (int64_t j = 0; j < count; j += F32_LANES) {                                        \
        int lanes = count - j < (int)F32_LANES ? (int)(count - j) : (int)F32_LANES;           \
        store_##type##_first(out + i + j, load_f32(buffer + j), lanes);                       \
      }                                                                                       \
    }                                                                                         \
  }
THROUGH_FLOAT(bf16)
THROUGH_FLOAT(f16)

#define FLOAT(name, called, time, ...)                                             \
  UNARY_KERNEL("portable." #name ".simd.f32", .function = called, .seconds = time, \
               .x = ELEMENT_f32, .y = ELEMENT_f32, __VA_ARGS__),
#define BFLOAT16(name, called, time, ...)                                                 \
  UNARY_KERNEL("portable." #name ".simd.bf16", .function = through_bf16, .inner = called, \
               .seconds = (time) + 0.1e-9, .x = ELEMENT_bf16, .y = ELEMENT_bf16, __VA_ARGS__),
#define FLOAT16(name, called, time, ...)                                                \
  UNARY_KERNEL("portable." #name ".simd.f16", .function = through_f16, .inner = called, \
               .seconds = (time) + 0.1e-9, .x = ELEMENT_f16, .y = ELEMENT_f16, __VA_ARGS__),
static const kp_kernel list[] = {FOR_EACH_UNARY(FLOAT) FOR_EACH_UNARY(BFLOAT16)
                                     FOR_EACH_UNARY(FLOAT16)};
const kp_kernel_list LEVEL_NAME(unary_kernels) = KERNEL_LIST(list);

#endif
