/* Reductions of floating elements over axes, in double. */
#include "reduce.h"

#include "wide.h"
#include "widen.h"

static void start_with(void *accumulators, int64_t n, double value) {
  double *a = accumulators;
  for (int64_t i = 0; i < n; i++) a[i] = value;
}
static void start_at_0(void *a, int64_t n) { start_with(a, n, 0); }
static void start_at_1(void *a, int64_t n) { start_with(a, n, 1); }
static void start_lowest(void *a, int64_t n) { start_with(a, n, -INFINITY); }
static void start_highest(void *a, int64_t n) { start_with(a, n, INFINITY); }

static void store(const void *accumulators, void *y, int64_t n, int64_t count) {
  (void)count;
  const double *a = accumulators;
  for (int64_t i = 0; i < n; i++) ((real *)y)[i] = (real)a[i];
}
static void store_mean(const void *accumulators, void *y, int64_t n, int64_t count) {
  const double *a = accumulators;
  for (int64_t i = 0; i < n; i++) ((real *)y)[i] = (real)(a[i] / (double)count);
}

/* The larger (smaller) number, or the NaN. */
LEVEL_INLINE double larger(double a, double b) { return a > b || a != a ? a : b; }
LEVEL_INLINE double lesser(double a, double b) { return a < b || a != a ? a : b; }

static void run_sum(const void *x, int64_t n, void *a) { *(double *)a += sum_of(x, n); }
static void run_max(const void *x, int64_t n, void *a) {
  *(double *)a = larger(*(double *)a, largest_of(x, n));
}
static void run_min(const void *x, int64_t n, void *a) {
  *(double *)a = lesser(*(double *)a, smallest_of(x, n));
}
static void run_prod(const void *from, int64_t n, void *a) {
  const real *x = from;
  f64v products = broadcast_f64(1);
  int64_t i = 0;
  for (; i + (int)F64_LANES <= n; i += F64_LANES) products *= load_wide(x + i);
  double result = *(double *)a;
  for (int k = 0; k < (int)F64_LANES; k++) result *= products[k];
  for (; i < n; i++) result *= x[i];
  *(double *)a = result;
}

/* ---- Columns: vectors of them ----------------------------------------------- */

enum { SUM, LARGEST, LEAST };

LEVEL_INLINE realv join(int kind, realv x, realv before) {
  return kind == SUM       ? before + x
         : kind == LARGEST ? maximum_real(x, before)
                           : minimum_real(x, before);
}
LEVEL_INLINE double join_wide(int kind, double a, double x) {
  return kind == SUM ? a + x : kind == LARGEST ? larger(a, x) : lesser(a, x);
}

/* `vectors` of columns, or `lanes` of one. */
LEVEL_INLINE void join_columns(int kind, const real *x, int64_t rows, int64_t step, int vectors,
                               int lanes, double *a) {
  const int columns = vectors == 1 ? lanes : vectors * (int)REAL_LANES;
  realv all[4], watched = {0};
  real values[4 * REAL_LANES] = {0};
  for (int v = 0; v < vectors; v++) all[v] = load_real_first(x + v * (int)REAL_LANES, lanes);
  for (int64_t r = 1; r < rows; r++)
    for (int v = 0; v < vectors; v++) {
      const real *at = x + r * step + v * (int)REAL_LANES;
      const realv more = lanes == (int)REAL_LANES ? load_real(at) : load_real_first(at, lanes);
      all[v] = join(kind, more, all[v]);
    }
  for (int v = 0; v < vectors; v++) {
    store_real(values + v * (int)REAL_LANES, all[v]);
    if (kind == SUM) watched = watch(watched, all[v]);
  }
  if (saw_infinity(watched)) {
    for (int64_t r = 0; r < rows; r++)
      for (int i = 0; i < columns; i++) a[i] += x[r * step + i];
    return;
  }
  _Pragma("GCC ivdep") for (int i = 0; i < columns; i++) a[i] = join_wide(kind, a[i], values[i]);
}

LEVEL_INLINE void columns_of(int kind, const real *x, int64_t rows, int64_t step, int64_t n,
                             double *a) {
  const int all = REAL_LANES;
  int64_t i = 0;
  for (; i + 4 * all <= n; i += 4 * all) join_columns(kind, x + i, rows, step, 4, all, a + i);
  for (; i + 2 * all <= n; i += 2 * all) join_columns(kind, x + i, rows, step, 2, all, a + i);
  if (i + all <= n) {
    join_columns(kind, x + i, rows, step, 1, all, a + i);
    i += all;
  }
  if (i < n) join_columns(kind, x + i, rows, step, 1, (int)(n - i), a + i);
}

static void columns_sum(const void *x, int64_t rows, int64_t step, int64_t n, void *a) {
  for (int64_t r = 0; r < rows; r += RUN_STEPS)
    columns_of(SUM, (const real *)x + r * step, kernel_min(RUN_STEPS, rows - r), step, n, a);
}
static void columns_max(const void *x, int64_t rows, int64_t step, int64_t n, void *a) {
  columns_of(LARGEST, x, rows, step, n, a);
}
static void columns_min(const void *x, int64_t rows, int64_t step, int64_t n, void *a) {
  columns_of(LEAST, x, rows, step, n, a);
}
static void columns_prod(const void *from, int64_t rows, int64_t step, int64_t n,
                         void *accumulators) {
  const real *x = from;
  double *a = accumulators;
  for (int64_t r = 0; r < rows; r++, x += step)
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++) a[i] *= x[i];
}

#define REDUCTION(operator_name, suffix, each, ...)                                       \
  REDUCE_KERNEL("portable." operator_name ".simd." #suffix, __VA_ARGS__, .seconds = each, \
                .type = ELEMENT_##suffix)
#define REDUCTIONS(suffix)                                                              \
  REDUCTION("sum", suffix, 0.03e-9, start_at_0, run_sum, columns_sum, store),           \
      REDUCTION("mean", suffix, 0.03e-9, start_at_0, run_sum, columns_sum, store_mean), \
      REDUCTION("max", suffix, 0.03e-9, start_lowest, run_max, columns_max, store),     \
      REDUCTION("min", suffix, 0.03e-9, start_highest, run_min, columns_min, store),    \
      REDUCTION("prod", suffix, 0.1e-9, start_at_1, run_prod, columns_prod, store)

#if REAL_BITS == 64
static const kp_kernel list[] = {REDUCTIONS(f64)};
const kp_kernel_list LEVEL_NAME(reduce_f64_kernels) = KERNEL_LIST(list);
#else
static const kp_kernel list[] = {REDUCTIONS(f32),
                                 WIDENED_HALVES("sum", list[0]),
                                 WIDENED_HALVES("mean", list[1]),
                                 WIDENED_HALVES("max", list[2]),
                                 WIDENED_HALVES("min", list[3]),
                                 WIDENED_HALVES("prod", list[4])};
const kp_kernel_list LEVEL_NAME(reduce_kernels) = KERNEL_LIST(list);
#endif
