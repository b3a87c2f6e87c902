/*
 * rows.h: what is computed of a row from its own largest element, sum or spread: `length` elements,
 * `inner` apart, of which `inner` rows lie side by side. A group takes BESIDE of `rows`.
 */
#define MAXIMUM(a, b) larger_of(a, b)
#define SUM(a, b) ((a) + (b))

typedef struct {
  real initial, epsilon;
  int length, inner, rows;
} row_parameters;

#if LOGARITHM
#define FINISH_SOFTMAX(shifted, total) ((shifted) - log(total))
#else
#define FINISH_SOFTMAX(shifted, total) (exp(shifted) / (total))
#endif

KERNEL(GROUP_SIZE) void softmax(INPUT(COMPUTED) x, OUTPUT(COMPUTED) y, const row_parameters p) {
  LOCAL real shared[GROUP_SIZE];
  /* Beyond the last row is the last one again, which isn't written. */
  const int item = ROW_ITEM, row = ROW < p.rows ? ROW : p.rows - 1;
  const int base = row / p.inner * p.length * p.inner + row % p.inner;
  real largest = p.initial;
  for (int k = item; k < p.length; k += ROW_ITEMS)
    largest = larger_of(largest, LOAD(COMPUTED, x, base + k * p.inner));
  COMBINE_GROUP(largest, MAXIMUM, shared)
  real total = 0;
  for (int k = item; k < p.length; k += ROW_ITEMS)
    total += exp(LOAD(COMPUTED, x, base + k * p.inner) - largest);
  COMBINE_GROUP(total, SUM, shared)
  if (ROW >= p.rows) return;
  for (int k = item; k < p.length; k += ROW_ITEMS) {
    const real shifted = LOAD(COMPUTED, x, base + k * p.inner) - largest;
    STORE(COMPUTED, y, base + k * p.inner, FINISH_SOFTMAX(shifted, total));
  }
}

KERNEL(ROW_ITEMS)
void layer_norm(INPUT(COMPUTED) x, INPUT(COMPUTED) scale,
#if HAS_BIAS
                INPUT(COMPUTED) bias,
#endif
                OUTPUT(COMPUTED) y, const row_parameters p) {
  LOCAL real shared[ROW_ITEMS];
  const int item = ITEM(0), base = GROUP(0) * p.length;
  real mean = 0, variance = 0;
  for (int k = item; k < p.length; k += ROW_ITEMS) mean += LOAD(COMPUTED, x, base + k);
  COMBINE_GROUP(mean, SUM, shared)
  mean /= p.length;
  for (int k = item; k < p.length; k += ROW_ITEMS) {
    const real difference = LOAD(COMPUTED, x, base + k) - mean;
    variance += difference * difference;
  }
  COMBINE_GROUP(variance, SUM, shared)
  const real factor = 1 / sqrt(variance / p.length + p.epsilon);
  for (int k = item; k < p.length; k += ROW_ITEMS) {
    real value = (LOAD(COMPUTED, x, base + k) - mean) * factor * LOAD(COMPUTED, scale, k);
#if HAS_BIAS
    value += LOAD(COMPUTED, bias, k);
#endif
    STORE(COMPUTED, y, base + k, value);
  }
}
