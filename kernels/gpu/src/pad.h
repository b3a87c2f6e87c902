/* pad.h: elements around a tensor, taken from it: MODE is 1 (reflect), 2 (edge) or 3 (wrap). */
typedef struct {
  int count;
  int extents[RANK], strides[RANK], before[RANK], y_extents[RANK];
} pad_parameters;

DEVICE int source_of(int place, int extent) {
#if MODE == 2
  return place < 0 ? 0 : place < extent ? place : extent - 1;
#elif MODE == 3
  const int rest = place % extent;
  return rest < 0 ? rest + extent : rest;
#else
  const int period = extent > 1 ? 2 * (extent - 1) : 1;
  int rest = place % period;
  rest = rest < 0 ? rest + period : rest;
  return rest < extent ? rest : period - rest;
#endif
}

KERNEL(GROUP_ITEMS) void pad(INPUT(COMPUTED) x, OUTPUT(COMPUTED) y, const pad_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  int rest = index, at = 0;
  for (int axis = RANK - 1; axis >= 0; axis--) {
    const int quotient = rest / p.y_extents[axis];
    const int place = rest - quotient * p.y_extents[axis] - p.before[axis];
    at += source_of(place, p.extents[axis]) * p.strides[axis];
    rest = quotient;
  }
  STORE(COMPUTED, y, index, LOAD(COMPUTED, x, at));
}
