/* Elementwise operators of one integer or bool input. */
#include "unary.h"

#define BY_ELEMENT(name, type, expression)                                          \
  static void name(const void *from, void *to, int64_t n, const unary_call *call) { \
    (void)call;                                                                     \
    const type *in = from;                                                          \
    type *out = to;                                                                 \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                          \
      type x = in[i];                                                               \
      out[i] = (type)(expression);                                                  \
    }                                                                               \
  }

/* Unsigned arithmetic: the smallest number's negative is itself, as in NumPy. */
#define SIGNED_FUNCTIONS(short_name, type)                                  \
  BY_ELEMENT(relu_##short_name, type, x < 0 ? 0 : x)                        \
  BY_ELEMENT(abs_##short_name, type, x < 0 ? 0 - (uint64_t)x : (uint64_t)x) \
  BY_ELEMENT(neg_##short_name, type, 0 - (uint64_t)x)                       \
  BY_ELEMENT(sign_##short_name, type, (x > 0) - (x < 0))
FOR_EACH_SIGNED(SIGNED_FUNCTIONS)

#define UNSIGNED_FUNCTIONS(short_name, type) \
  BY_ELEMENT(relu_##short_name, type, x)     \
  BY_ELEMENT(sign_##short_name, type, x > 0)
FOR_EACH_UNSIGNED(UNSIGNED_FUNCTIONS)

/* Limits are reals; those that the type can't hold don't bind. A maximum below the minimum wins. */
#define CLIP_WITHIN(short_name, type, lowest, highest)                                            \
  static type limit_##short_name(double limit) {                                                  \
    return limit > (double)(lowest) ? limit < (double)(highest) ? (type)limit : highest : lowest; \
  }                                                                                               \
  static void clip_##short_name(const void *from, void *to, int64_t n, const unary_call *call) {  \
    const type *in = from;                                                                        \
    type *out = to;                                                                               \
    const type low = limit_##short_name(call->alpha), high = limit_##short_name(call->beta);      \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) {                                        \
      const type x = in[i] < low ? low : in[i];                                                   \
      out[i] = x > high ? high : x;                                                               \
    }                                                                                             \
  }
CLIP_WITHIN(i64, int64_t, INT64_MIN, INT64_MAX)
CLIP_WITHIN(i32, int32_t, INT32_MIN, INT32_MAX)
CLIP_WITHIN(i16, int16_t, INT16_MIN, INT16_MAX)
CLIP_WITHIN(i8, int8_t, INT8_MIN, INT8_MAX)
CLIP_WITHIN(u64, uint64_t, 0, UINT64_MAX)
CLIP_WITHIN(u32, uint32_t, 0, UINT32_MAX)
CLIP_WITHIN(u16, uint16_t, 0, UINT16_MAX)
CLIP_WITHIN(u8, uint8_t, 0, UINT8_MAX)

BY_ELEMENT(logical_not, uint8_t, !x)

/* As long as its bytes take. */
#define NAMED(name, called, short_name, type, ...)                            \
  UNARY_KERNEL("portable." #name ".loop." #short_name, .function = called,    \
               .seconds = 0.025e-9 * sizeof(type), .x = ELEMENT_##short_name, \
               .y = ELEMENT_##short_name, __VA_ARGS__),
#define BOTH(short_name, type)                     \
  NAMED(relu, relu_##short_name, short_name, type) \
  NAMED(sign, sign_##short_name, short_name, type) \
  NAMED(clip, clip_##short_name, short_name, type, .alpha = "minimum", .beta = "maximum")
#define SIGNED_ONLY(short_name, type)            \
  NAMED(abs, abs_##short_name, short_name, type) \
  NAMED(neg, neg_##short_name, short_name, type)
/* The absolute value of what has no sign is itself. */
#define UNSIGNED_ONLY(short_name, type) NAMED(abs, relu_##short_name, short_name, type)

static const kp_kernel list[] = {FOR_EACH_INTEGER(BOTH) FOR_EACH_SIGNED(
    SIGNED_ONLY) FOR_EACH_UNSIGNED(UNSIGNED_ONLY) NAMED(logical_not, logical_not, bool, uint8_t)};
const kp_kernel_list unary_integer_kernels = KERNEL_LIST(list);
