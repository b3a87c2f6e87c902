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

/* Limits are reals; those that the type can't hold don't bind. */
#define CLIP(short_name, type)                                                                   \
  static void clip_##short_name(const void *from, void *to, int64_t n, const unary_call *call) { \
    const type *in = from;                                                                       \
    type *out = to;                                                                              \
    const double low = call->alpha, high = call->beta;                                           \
    for (int64_t i = 0; i < n; i++) {                                                            \
      double x = (double)in[i];                                                                  \
      out[i] = x < low ? (type)low : x > high ? (type)high : in[i];                              \
    }                                                                                            \
  }
FOR_EACH_INTEGER(CLIP)

BY_ELEMENT(logical_not, uint8_t, !x)

#define NAMED(name, called, short_name, ...)                                                  \
  UNARY_KERNEL("portable." #name ".loop." #short_name, .function = called, .seconds = 0.2e-9, \
               .x = ELEMENT_##short_name, .y = ELEMENT_##short_name, __VA_ARGS__),
#define BOTH(short_name, type)               \
  NAMED(relu, relu_##short_name, short_name) \
  NAMED(sign, sign_##short_name, short_name) \
  NAMED(clip, clip_##short_name, short_name, .alpha = "minimum", .beta = "maximum")
#define SIGNED_ONLY(short_name, type) \
  NAMED(abs, abs_##short_name, short_name) NAMED(neg, neg_##short_name, short_name)
/* The absolute value of what has no sign is itself. */
#define UNSIGNED_ONLY(short_name, type) NAMED(abs, relu_##short_name, short_name)

static const kp_kernel list[] = {FOR_EACH_INTEGER(BOTH) FOR_EACH_SIGNED(
    SIGNED_ONLY) FOR_EACH_UNSIGNED(UNSIGNED_ONLY) NAMED(logical_not, logical_not, bool)};
const kp_kernel_list unary_integer_kernels = KERNEL_LIST(list);
