/*
 * tuples.h: the slices that tuples of DEPTH indices name, `each` tuples and `slices` of a batch.
 *
 * Without CLAIM, for each tuple its slice, or -1 where an index is beyond the ends. With it, for
 * each slice the last of its tuples; where there is none, what was there is left.
 */
typedef struct {
  int count, each, slices;
  int extents[DEPTH], strides[DEPTH];
} tuples_parameters;

KERNEL(GROUP_ITEMS)
void tuples(INPUT(COMPUTED) indices, OUTPUT(i32) found, const tuples_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  int slice = index / p.each * p.slices;
  UNROLL for (int k = 0; k < DEPTH; k++) {
    const int place = place_of(LOAD(COMPUTED, indices, index * DEPTH + k), p.extents[k]);
    slice = place < 0 || slice < 0 ? -1 : slice + place * p.strides[k];
  }
#if CLAIM
  if (slice >= 0) RAISE(found + slice, index);
#else
  STORE(i32, found, index, slice);
#endif
}
