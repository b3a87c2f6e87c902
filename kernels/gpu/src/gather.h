/*
 * gather.h: parts of a tensor along an axis, by indices, of which negative ones count from the end.
 *
 * Nobody is told of an index beyond the ends, since nobody waits: its part is zero.
 */
typedef struct {
  int count, extent, indices, inner;
} gather_parameters;

KERNEL(GROUP_ITEMS)
void gather(INPUT(COMPUTED) x, INPUT(TYPE_B) indices, OUTPUT(COMPUTED) y,
            const gather_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int inner = index % p.inner;
  const int outer = index / p.inner / p.indices;
  const int place = place_of(LOAD(TYPE_B, indices, index / p.inner % p.indices), p.extent);
  if (place < 0) {
    STORE(COMPUTED, y, index, 0);
    return;
  }
  const int at = (outer * p.extent + place) * p.inner + inner;
  STORE(COMPUTED, y, index, LOAD(COMPUTED, x, at));
}

typedef struct {
  int count, least;
} lookup_parameters;

/* lookup: a table's entry for each element of 8 bits, whose least value has the first. */
KERNEL(GROUP_ITEMS)
void lookup(INPUT(TYPE_B) x, INPUT(COMPUTED) table, OUTPUT(COMPUTED) y, const lookup_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  STORE(COMPUTED, y, index, LOAD(COMPUTED, table, (int)LOAD(TYPE_B, x, index) - p.least));
}
