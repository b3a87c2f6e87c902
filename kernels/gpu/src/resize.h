/*
 * resize.h: interpolation along every axis at once, by tables of each output's taps.
 *
 * Along an axis of y_extent outputs and t taps, entry first + output * t + tap of the tables is
 * where an input is and what it weighs.
 */
typedef struct {
  int count, taps;
  int y_extents[RANK], strides[RANK], axis_taps[RANK], first[RANK];
} resize_parameters;

KERNEL(GROUP_ITEMS)
void resize(INPUT(TYPE_A) x, GLOBAL const int *places,
#if WEIGHTED
            GLOBAL const real *weights,
#endif
            OUTPUT(TYPE_A) y, const resize_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  real total = 0;
  for (int combination = 0; combination < p.taps; combination++) {
    int rest = index, digits = combination, at = 0;
    real weight = 1;
    for (int axis = RANK - 1; axis >= 0; axis--) {
      const int quotient = rest / p.y_extents[axis];
      const int output = rest - quotient * p.y_extents[axis];
      const int entry = p.first[axis] + output * p.axis_taps[axis] + digits % p.axis_taps[axis];
      rest = quotient;
      digits /= p.axis_taps[axis];
      at += places[entry] * p.strides[axis];
#if WEIGHTED
      weight *= weights[entry];
#endif
    }
#if WEIGHTED
    total += weight * LOAD(TYPE_A, x, at);
#else
    total = LOAD(TYPE_A, x, at);
#endif
  }
  STORE(TYPE_A, y, index, total);
}
