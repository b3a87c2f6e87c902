/* Operators of two integer or bool inputs that broadcast. */
#include "binary.h"

#define BY_ELEMENT(name, type, result, expression)                                           \
  static void name(const void *first, const void *second, void *to, const broadcast_rows *r, \
                   const binary_context *context) {                                          \
    (void)context;                                                                           \
    const type *x = first, *z = second;                                                      \
    result *y = to;                                                                          \
    for (int64_t j = 0; j < r->rows; j++, x += r->row[0], z += r->row[1], y += r->count) {   \
      if (r->inner[0] && r->inner[1]) {                                                      \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < r->count; i++) {                        \
          const type a = x[i], b = z[i];                                                     \
          y[i] = (result)(expression);                                                       \
        }                                                                                    \
      } else {                                                                               \
        for (int64_t i = 0; i < r->count; i++) {                                             \
          const type a = x[r->inner[0] ? i : 0], b = z[r->inner[1] ? i : 0];                 \
          y[i] = (result)(expression);                                                       \
        }                                                                                    \
      }                                                                                      \
    }                                                                                        \
  }

/* Unsigned arithmetic wraps around, as NumPy's does; so do the quotients that don't fit. A
 * division by zero gives zero. */
#define SIGNED_DIVISION(name, type)                                        \
  static inline type quotient_##name(type a, type b) {                     \
    return b == 0 ? 0 : b == -1 ? (type)(0 - (uint64_t)a) : (type)(a / b); \
  }                                                                        \
  static inline type fmod_of_##name(type a, type b) {                      \
    return b == 0 || b == -1 ? 0 : (type)(a % b);                          \
  }                                                                        \
  static inline type mod_of_##name(type a, type b) {                       \
    const type rest = fmod_of_##name(a, b);                                \
    return rest && (rest < 0) != (b < 0) ? (type)(rest + b) : rest;        \
  }                                                                        \
  static inline type power_##name(type a, type b) {                        \
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;         \
    uint64_t result = 1, factor = (uint64_t)a;                             \
    for (uint64_t n = (uint64_t)b; n; n >>= 1, factor *= factor)           \
      if (n & 1) result *= factor;                                         \
    return (type)result;                                                   \
  }
#define UNSIGNED_DIVISION(name, type)                                                       \
  static inline type quotient_##name(type a, type b) { return b == 0 ? 0 : (type)(a / b); } \
  static inline type fmod_of_##name(type a, type b) { return b == 0 ? 0 : (type)(a % b); }  \
  static inline type mod_of_##name(type a, type b) { return fmod_of_##name(a, b); }         \
  static inline type power_##name(type a, type b) {                                         \
    uint64_t result = 1, factor = a;                                                        \
    for (uint64_t n = b; n; n >>= 1, factor *= factor)                                      \
      if (n & 1) result *= factor;                                                          \
    return (type)result;                                                                    \
  }
FOR_EACH_SIGNED(SIGNED_DIVISION)
FOR_EACH_UNSIGNED(UNSIGNED_DIVISION)

#define FUNCTIONS(name, type)                                   \
  BY_ELEMENT(add_##name, type, type, (uint64_t)a + (uint64_t)b) \
  BY_ELEMENT(sub_##name, type, type, (uint64_t)a - (uint64_t)b) \
  BY_ELEMENT(mul_##name, type, type, (uint64_t)a *(uint64_t)b)  \
  BY_ELEMENT(div_##name, type, type, quotient_##name(a, b))     \
  BY_ELEMENT(mod_##name, type, type, mod_of_##name(a, b))       \
  BY_ELEMENT(fmod_##name, type, type, fmod_of_##name(a, b))     \
  BY_ELEMENT(pow_##name, type, type, power_##name(a, b))        \
  BY_ELEMENT(maximum_##name, type, type, a > b ? a : b)         \
  BY_ELEMENT(minimum_##name, type, type, a < b ? a : b)         \
  BY_ELEMENT(equal_##name, type, uint8_t, a == b)               \
  BY_ELEMENT(not_equal_##name, type, uint8_t, a != b)           \
  BY_ELEMENT(less_##name, type, uint8_t, a < b)                 \
  BY_ELEMENT(less_equal_##name, type, uint8_t, a <= b)          \
  BY_ELEMENT(greater_##name, type, uint8_t, a > b)              \
  BY_ELEMENT(greater_equal_##name, type, uint8_t, a >= b)
FOR_EACH_INTEGER(FUNCTIONS)
#define SIGNED_FUNCTIONS(name, type) \
  BY_ELEMENT(prelu_##name, type, type, a < 0 ? (uint64_t)a * (uint64_t)b : (uint64_t)a)
FOR_EACH_SIGNED(SIGNED_FUNCTIONS)

/* A bool is 0 or 1. */
BY_ELEMENT(logical_and, uint8_t, uint8_t, a &b)
BY_ELEMENT(logical_or, uint8_t, uint8_t, a | b)
BY_ELEMENT(logical_xor, uint8_t, uint8_t, a ^ b)
BY_ELEMENT(equal_bool, uint8_t, uint8_t, a == b)
BY_ELEMENT(not_equal_bool, uint8_t, uint8_t, a != b)

#define NAMED(op, called, short_name, result)                                                \
  BINARY_KERNEL("portable." #op ".loop." #short_name, .function = called, .seconds = 0.2e-9, \
                .operands = ELEMENT_##short_name, .y = ELEMENT_##result),
#define TYPED(op, name) NAMED(op, op##_##name, name, name)
#define TO_BOOL(op, name) NAMED(op, op##_##name, name, bool)
// clang-format off
#define KERNELS(name, type)                                                             \
  TYPED(add, name) TYPED(sub, name) TYPED(mul, name) TYPED(div, name) TYPED(pow, name)  \
  TYPED(mod, name) TYPED(fmod, name)                                                    \
  TYPED(maximum, name) TYPED(minimum, name) TO_BOOL(equal, name)                        \
  TO_BOOL(not_equal, name) TO_BOOL(less, name) TO_BOOL(less_equal, name)                \
  TO_BOOL(greater, name) TO_BOOL(greater_equal, name)
// clang-format on
#define SIGNED_KERNELS(name, type) TYPED(prelu, name)

static const kp_kernel list[] = {
    FOR_EACH_INTEGER(KERNELS) FOR_EACH_SIGNED(SIGNED_KERNELS)
        NAMED(logical_and, logical_and, bool, bool) NAMED(logical_or, logical_or, bool, bool)
            NAMED(logical_xor, logical_xor, bool, bool) NAMED(equal, equal_bool, bool, bool)
                NAMED(not_equal, not_equal_bool, bool, bool)};
const kp_kernel_list binary_integer_kernels = KERNEL_LIST(list);
