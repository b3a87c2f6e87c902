/*
 * map.h: EXPRESSION of up to three inputs a, b, c, element by element, wherever their elements lie.
 *
 * Each tensor has an offset and a stride for each of RANK axes, in elements: broadcast inputs have
 * strides of 0, parts and flipped tensors an offset.
 */
typedef struct {
  real alpha, beta;
  int count;
  int extents[RANK];
  int offsets[OPERANDS + 1], strides[(OPERANDS + 1) * RANK];
} map_parameters;

KERNEL(GROUP_ITEMS)
void map(
#if OPERANDS > 0
    INPUT(TYPE_A) a_values,
#endif
#if OPERANDS > 1
    INPUT(TYPE_B) b_values,
#endif
#if OPERANDS > 2
    INPUT(TYPE_C) c_values,
#endif
    OUTPUT(TYPE_Y) y_values, const map_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  int at[OPERANDS + 1];
  for (int k = 0; k <= OPERANDS; k++) at[k] = p.offsets[k];
  int rest = index;
  for (int axis = RANK - 1; axis > 0; axis--) {
    const int quotient = rest / p.extents[axis];
    const int place = rest - quotient * p.extents[axis];
    for (int k = 0; k <= OPERANDS; k++) at[k] += place * p.strides[k * RANK + axis];
    rest = quotient;
  }
  for (int k = 0; k <= OPERANDS; k++) at[k] += rest * p.strides[k * RANK];
  const real alpha = p.alpha, beta = p.beta;
  (void)alpha;
  (void)beta;
#if OPERANDS > 0
  const REAL(TYPE_A) a = LOAD(TYPE_A, a_values, at[0]);
#endif
#if OPERANDS > 1
  const REAL(TYPE_B) b = LOAD(TYPE_B, b_values, at[1]);
#endif
#if OPERANDS > 2
  const REAL(TYPE_C) c = LOAD(TYPE_C, c_values, at[2]);
#endif
  STORE(TYPE_Y, y_values, at[OPERANDS], EXPRESSION);
}
