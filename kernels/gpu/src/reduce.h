/*
 * reduce.h: one result for each of `rows` sets of elements, each set of `length`.
 *
 * A row begins where its index along the kept axes says, and its elements lie where their index
 * along the reduced ones says. ROW_ITEMS work-items, a power of two, share a row.
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
  const int item = ITEM(0);
#if ROW_ITEMS == 1
  const int row = GROUP(0) * GROUP_ITEMS + item, first = 0;
  if (row >= p.rows) return;
#else
  const int row = GROUP(0), first = item;
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
  LOCAL real results[ROW_ITEMS];
#if ARGUMENT
  LOCAL int places[ROW_ITEMS];
  places[item] = place;
  results[item] = result;
  BARRIER();
  for (int step = ROW_ITEMS / 2; step > 0; step /= 2) {
    if (item < step &&
        comes_before(results[item + step], places[item + step], results[item], places[item])) {
      results[item] = results[item + step];
      places[item] = places[item + step];
    }
    BARRIER();
  }
  place = places[0];
#else
  COMBINE_GROUP(result, COMBINE, results, item)
#endif
  if (item > 0) return;
#endif
#if ARGUMENT
  STORE(TYPE_Y, y, row, place);
#else
  STORE(TYPE_Y, y, row, FINISH(result, p.length));
#endif
}
