/* scatter.h: a tensor with slices of `inner` elements replaced by the updates that claim them. */
typedef struct {
  int count, inner;
} scatter_parameters;

KERNEL(GROUP_ITEMS)
void scatter(INPUT(COMPUTED) x, INPUT(COMPUTED) updates, INPUT(i32) claims, OUTPUT(COMPUTED) y,
             const scatter_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int slice = index / p.inner, claim = LOAD(i32, claims, slice);
  STORE(COMPUTED, y, index,
        claim < 0 ? LOAD(COMPUTED, x, index)
                  : LOAD(COMPUTED, updates, claim * p.inner + index - slice * p.inner));
}
