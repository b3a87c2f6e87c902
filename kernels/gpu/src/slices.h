/* slices.h: slices of `inner` elements by their places; zero where that is -1. */
typedef struct {
  int count, inner;
} slices_parameters;

KERNEL(GROUP_ITEMS)
void slices(INPUT(COMPUTED) x, INPUT(i32) places, OUTPUT(COMPUTED) y, const slices_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int slice = index / p.inner, place = LOAD(i32, places, slice);
  STORE(COMPUTED, y, index,
        place < 0 ? 0 : LOAD(COMPUTED, x, place * p.inner + index - slice * p.inner));
}
