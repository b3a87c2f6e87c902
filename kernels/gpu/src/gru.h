/*
 * gru.h: gated recurrent units. Where the reset gate comes before the state's product, the update
 * gate waits in the step's result, and the state as it is reset in what becomes the last one.
 */
#define UPDATE 0
#define RESET 1
#define CANDIDATE 2
#define SUM_OF(gate) (OF_INPUTS(ROW_OF(gate, 3, j)) + BIAS(BIAS_OF(gate, 3, j)))
#define STATE_BIAS(gate) BIAS(BIAS_OF(gate, 3, j) + 3 * p.size)
#define GATE(gate) sigmoid_of(SUM_OF(gate) + OF_STATE(ROW_OF(gate, 3, j)) + STATE_BIAS(gate))

DEVICE real mixed(real update, real candidate, real before) {
  return (1 - update) * candidate + update * before;
}

KERNEL(ROW_ITEMS)
void gru(SHARED_INPUTS, OUTPUT(COMPUTED) y, OUTPUT(COMPUTED) last_h,
         const recurrence_parameters p) {
  const recurrence_way way = way_of(GROUP(0), p.batch, p.size, p.backwards);
  const int length = LENGTH;
  END_RESULTS(y)
  for (int number = 0; number < length; number++) {
    const int y_at = Y_AT(number);
#if LINEAR_BEFORE_RESET
    for (int j = ITEM(0); j < p.size; j += ROW_ITEMS) {
      const real seen = OF_STATE(ROW_OF(CANDIDATE, 3, j)) + STATE_BIAS(CANDIDATE);
      const real candidate = tanh_of(SUM_OF(CANDIDATE) + GATE(RESET) * seen);
      STORE(COMPUTED, y, y_at + j, mixed(GATE(UPDATE), candidate, H_BEFORE(j)));
    }
#else
    for (int j = ITEM(0); j < p.size; j += ROW_ITEMS) {
      STORE(COMPUTED, y, y_at + j, GATE(UPDATE));
      STORE(COMPUTED, last_h, way.state + j, GATE(RESET) * H_BEFORE(j));
    }
    BARRIER_OF_GLOBAL();
    for (int j = ITEM(0); j < p.size; j += ROW_ITEMS) {
      const real seen = product_of(r, ROW_OF(CANDIDATE, 3, j), last_h, way.state, p.size);
      const real candidate = tanh_of(SUM_OF(CANDIDATE) + seen + STATE_BIAS(CANDIDATE));
      STORE(COMPUTED, y, y_at + j, mixed(LOAD(COMPUTED, y, y_at + j), candidate, H_BEFORE(j)));
    }
#endif
    BARRIER_OF_GLOBAL();
  }
  STORE_LAST_H(last_h)
}
