/*
 * along.h: the elements of a tensor that indices along an axis name, beside which they lie where
 * their indices do: `extents` are the indices', `strides` the tensor's, none along the axis.
 *
 * Without CLAIM, for each index its element, or -1 beyond the ends. With it, for each element the
 * last of its indices; where there is none, what was there is left.
 */
typedef struct {
  int count, extent, stride;
  int extents[RANK], strides[RANK];
} along_parameters;

KERNEL(GROUP_ITEMS)
void along(INPUT(COMPUTED) indices, OUTPUT(i32) found, const along_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int place = place_of(LOAD(COMPUTED, indices, index), p.extent);
  int rest = index, element = place * p.stride;
  for (int axis = RANK - 1; axis > 0; axis--) {
    const int quotient = rest / p.extents[axis];
    element += (rest - quotient * p.extents[axis]) * p.strides[axis];
    rest = quotient;
  }
  element += rest * p.strides[0];
#if CLAIM
  if (place >= 0) RAISE(found + element, index);
#else
  STORE(i32, found, index, place < 0 ? -1 : element);
#endif
}
