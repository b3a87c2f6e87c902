/*
 * reduce.h: one result for each of `rows` sets of elements, each set of `length`.
 *
 * A row begins where its index along the kept axes says, and its elements lie where their index
 * along the reduced ones says. ROW_ITEMS work-items share a row, or, if that is 1, each of
 * GROUP_ITEMS takes one.
 */
typedef struct {
  real initial;
  int rows, length;
  int kept_extents[RANK], kept_strides[RANK];
  int extents[RANK], strides[RANK];
} reduce_parameters;

/* A macro, because a struct's arrays and the kernel's own may lie in different memories. */
#define WALK(index, walked_extents, walked_strides, at)                           \
  {                                                                               \
    int rest_ = index;                                                            \
    for (int axis = RANK - 1; axis > 0; axis--) {                                 \
      const int quotient = rest_ / p.walked_extents[axis];                        \
      at += (rest_ - quotient * p.walked_extents[axis]) * p.walked_strides[axis]; \
      rest_ = quotient;                                                           \
    }                                                                             \
    at += rest_ * p.walked_strides[0];                                            \
  }

#if ARGUMENT
/* Whether element (a, i) comes before (b, j): NaN before all, the first or last of equals. */
DEVICE int comes_before(real a, int i, real b, int j) {
  const int a_nan = a != a, b_nan = b != b;
  if (i < 0) return 0;
  if (j < 0) return 1;
  if (a_nan != b_nan) return a_nan;
  if (!a_nan && a != b) return a > b;
  return LAST ? i > j : i < j;
}
#endif

KERNEL(GROUP_ITEMS) void reduce(INPUT(COMPUTED) x, OUTPUT(TYPE_Y) y, const reduce_parameters p) {
#if ROW_ITEMS == 1
  const int row = GROUP(0) * GROUP_ITEMS + ITEM(0), first = 0;
  if (row >= p.rows) return;
#else
  /* Beyond the last row is the last one again, which isn't written. */
  const int item = ROW_ITEM, row = ROW < p.rows ? ROW : p.rows - 1, first = item;
#endif
  int base = 0;
  WALK(row, kept_extents, kept_strides, base)
  real result = p.initial;
#if ARGUMENT
  int place = -1;
#endif
  for (int k = first; k < p.length; k += ROW_ITEMS) {
    int at = base;
    WALK(k, extents, strides, at)
    const real value = LOAD(COMPUTED, x, at);
#if ARGUMENT
    if (comes_before(value, k, result, place)) {
      result = value;
      place = k;
    }
#else
    result = COMBINE(result, value);
#endif
  }
#if ROW_ITEMS > 1
  LOCAL real results[GROUP_SIZE];
#if ARGUMENT
  LOCAL int places[GROUP_SIZE];
  const int own = ITEM(0);
  places[own] = place;
  results[own] = result;
  BARRIER();
  for (int step = ROW_ITEMS / 2; step > 0; step /= 2) {
    const int other = own + step * BESIDE;
    if (item < step && comes_before(results[other], places[other], results[own], places[own])) {
      results[own] = results[other];
      places[own] = places[other];
    }
    BARRIER();
  }
  place = places[own % BESIDE];
#else
  COMBINE_GROUP(result, COMBINE, results)
#endif
  if (item > 0 || ROW >= p.rows) return;
#endif
#if ARGUMENT
  STORE(TYPE_Y, y, row, place);
#else
  STORE(TYPE_Y, y, row, FINISH(result, p.length));
#endif
}
