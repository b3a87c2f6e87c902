/*
 * gather_elements.h: elements along an axis by an index each, beside which they lie where their
 * indices do: `extents` are the indices', `strides` x's, none along the axis.
 *
 * Nobody is told of an index beyond the ends, since nobody waits: its element is zero.
 */
typedef struct {
  int count, extent, stride;
  int extents[RANK], strides[RANK];
} gather_elements_parameters;

KERNEL(GROUP_ITEMS)
void gather_elements(INPUT(COMPUTED) x, INPUT(TYPE_B) indices, OUTPUT(COMPUTED) y,
                     const gather_elements_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int place = place_of(LOAD(TYPE_B, indices, index), p.extent);
  if (place < 0) {
    STORE(COMPUTED, y, index, 0);
    return;
  }
  int rest = index, at = place * p.stride;
  for (int axis = RANK - 1; axis > 0; axis--) {
    const int quotient = rest / p.extents[axis];
    at += (rest - quotient * p.extents[axis]) * p.strides[axis];
    rest = quotient;
  }
  STORE(COMPUTED, y, index, LOAD(COMPUTED, x, at + rest * p.strides[0]));
}
