/* Reductions of integers over axes. Sums and products wrap around, as NumPy's do. */
#include "reduce.h"

#define FUNCTIONS(name, type, wide, lowest, highest)                             \
  static void start_lowest_##name(void *a, int64_t n) {                          \
    for (int64_t i = 0; i < n; i++) ((wide *)a)[i] = lowest;                     \
  }                                                                              \
  static void start_highest_##name(void *a, int64_t n) {                         \
    for (int64_t i = 0; i < n; i++) ((wide *)a)[i] = highest;                    \
  }                                                                              \
  static void store_##name(const void *a, void *y, int64_t n, int64_t count) {   \
    (void)count;                                                                 \
    for (int64_t i = 0; i < n; i++) ((type *)y)[i] = (type)((const wide *)a)[i]; \
  }                                                                              \
  FOLD(sum, name, type, wide, (wide)((uint64_t)a + (uint64_t)b))                 \
  FOLD(prod, name, type, wide, (wide)((uint64_t)a * (uint64_t)b))                \
  FOLD(max, name, type, wide, a > b ? a : b)                                     \
  FOLD(min, name, type, wide, a < b ? a : b)

#define FOLD(op, name, type, wide, expression)                                            \
  static void run_##op##_##name(const void *x, int64_t n, void *accumulator) {            \
    wide a = *(wide *)accumulator;                                                        \
    for (int64_t i = 0; i < n; i++) {                                                     \
      const wide b = ((const type *)x)[i];                                                \
      a = (expression);                                                                   \
    }                                                                                     \
    *(wide *)accumulator = a;                                                             \
  }                                                                                       \
  static void columns_##op##_##name(const void *x, int64_t rows, int64_t step, int64_t n, \
                                    void *accumulators) {                                 \
    for (int64_t row = 0; row < rows; row++)                                              \
      for (int64_t i = 0; i < n; i++) {                                                   \
        const wide a = ((wide *)accumulators)[i], b = ((const type *)x)[row * step + i];  \
        ((wide *)accumulators)[i] = (expression);                                         \
      }                                                                                   \
  }

/* What no element of the type is below, or above. */
#define SIGNED(name, type)                                                              \
  FUNCTIONS(name, type, int64_t, -(int64_t)(UINT64_MAX >> (65 - 8 * sizeof(type))) - 1, \
            (int64_t)(UINT64_MAX >> (65 - 8 * sizeof(type))))
#define UNSIGNED(name, type) \
  FUNCTIONS(name, type, uint64_t, 0, UINT64_MAX >> (64 - 8 * sizeof(type)))
FOR_EACH_SIGNED(SIGNED)
FOR_EACH_UNSIGNED(UNSIGNED)

static void start_at_0(void *a, int64_t n) { memset(a, 0, (size_t)n * sizeof(int64_t)); }
static void start_at_1(void *a, int64_t n) {
  for (int64_t i = 0; i < n; i++) ((int64_t *)a)[i] = 1;
}

#define REDUCTION(operator_name, op, name, start, finish)                           \
  REDUCE_KERNEL("portable." operator_name ".loop." #name, start, run_##op##_##name, \
                columns_##op##_##name, finish##_##name, 0.5e-9, ELEMENT_##name),
#define REDUCTIONS(name, type)                            \
  REDUCTION("sum", sum, name, start_at_0, store)          \
  REDUCTION("prod", prod, name, start_at_1, store)        \
  REDUCTION("max", max, name, start_lowest_##name, store) \
  REDUCTION("min", min, name, start_highest_##name, store)
static const kp_kernel list[] = {FOR_EACH_INTEGER(REDUCTIONS)};
const kp_kernel_list reduce_integer_kernels = KERNEL_LIST(list);
