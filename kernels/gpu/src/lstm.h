/* lstm.h: long short-term memory; the cell's state lies where its last one is wanted. */
#define INITIAL_C(i) (IS_PRESENT(6) ? LOAD(COMPUTED, initial_c, i) : 0)
#define PEEPHOLE(gate, c) (IS_PRESENT(7) ? LOAD(COMPUTED, peepholes, ROW_OF(gate, 3, j)) * (c) : 0)

KERNEL(ROW_ITEMS)
void lstm(SHARED_INPUTS, INPUT(COMPUTED) initial_c, INPUT(COMPUTED) peepholes, OUTPUT(COMPUTED) y,
          OUTPUT(COMPUTED) last_h, OUTPUT(COMPUTED) last_c, const recurrence_parameters p) {
  const recurrence_way way = way_of(GROUP(0), p.batch, p.size, p.backwards);
  const int length = LENGTH;
  for (int j = ITEM(0); j < p.size; j += ROW_ITEMS)
    STORE(COMPUTED, last_c, way.state + j, INITIAL_C(way.state + j));
  END_RESULTS(y)
  for (int number = 0; number < length; number++) {
    for (int j = ITEM(0); j < p.size; j += ROW_ITEMS) {
      real gates[4];
      for (int gate = 0; gate < 4; gate++) {
        const int row = ROW_OF(gate, 4, j), bias_at = BIAS_OF(gate, 4, j);
        gates[gate] = OF_INPUTS(row) + OF_STATE(row) + BIAS(bias_at) + BIAS(bias_at + 4 * p.size);
      }
      real c = LOAD(COMPUTED, last_c, way.state + j);
      const real taken = sigmoid_of(gates[0] + PEEPHOLE(0, c));
      const real kept = sigmoid_of(gates[2] + PEEPHOLE(2, c));
      c = kept * c + taken * tanh_of(gates[3]);
      STORE(COMPUTED, last_c, way.state + j, c);
      STORE(COMPUTED, y, Y_AT(number) + j, sigmoid_of(gates[1] + PEEPHOLE(1, c)) * tanh_of(c));
    }
    BARRIER_OF_GLOBAL();
  }
  STORE_LAST_H(last_h)
}
