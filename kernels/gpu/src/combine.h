/*
 * combine.h: a tensor whose slices of `inner` elements are combined with those updates whose place
 * is the slice. A work-item has an element and looks at `updates` of them, in their order, so that
 * nothing is written twice: no atomic operation on floats, and the same result in each run.
 *
 * Where indices lie along an axis, an element's updates are those of its column, `between` apart:
 * `extents` are y's, `limits` the indices' and `steps` their strides, none along the axis.
 */
typedef struct {
  int count, reduction, inner, updates, between;
  int extents[RANK], limits[RANK], steps[RANK];
} combine_parameters;

#if IS_FLOATING
#define SUM(a, b) ((a) + (b))
#define PRODUCT(a, b) ((a) * (b))
#else
#define SUM(a, b) wrapped_sum(a, b)
#define PRODUCT(a, b) wrapped_product(a, b)
#endif

/* Few updates are combined of those looked at, so that a choice here costs nothing, and spares a
 * program for each. */
DEVICE real combined(int reduction, real a, real b) {
  return reduction == 0   ? SUM(a, b)
         : reduction == 1 ? PRODUCT(a, b)
         : reduction == 2 ? larger_of(a, b)
                          : smaller_of(a, b);
}

KERNEL(GROUP_ITEMS)
void combine(INPUT(COMPUTED) x, INPUT(COMPUTED) updates, INPUT(i32) places, OUTPUT(COMPUTED) y,
             const combine_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int slice = index / p.inner;
  int first = 0, rest = slice, has_column = 1;
  for (int axis = RANK - 1; axis >= 0; axis--) {
    const int quotient = rest / p.extents[axis], place = rest - quotient * p.extents[axis];
    has_column &= p.limits[axis] < 0 || place < p.limits[axis];
    first += place * p.steps[axis];
    rest = quotient;
  }
  real value = LOAD(COMPUTED, x, index);
  for (int k = 0; k < p.updates && has_column; k++) {
    const int update = first + k * p.between;
    if (LOAD(i32, places, update) == slice) {
      const real other = LOAD(COMPUTED, updates, update * p.inner + index - slice * p.inner);
      value = combined(p.reduction, value, other);
    }
  }
  STORE(COMPUTED, y, index, value);
}
