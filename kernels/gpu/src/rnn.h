/* rnn.h: a state that is a function, NONLINEARITY, of sums of the inputs and of itself. */
KERNEL(ROW_ITEMS)
void rnn(SHARED_INPUTS, OUTPUT(COMPUTED) y, OUTPUT(COMPUTED) last_h,
         const recurrence_parameters p) {
  const recurrence_way way = way_of(GROUP(0), p.batch, p.size, p.backwards);
  const int length = LENGTH;
  END_RESULTS(y)
  for (int number = 0; number < length; number++) {
    for (int j = ITEM(0); j < p.size; j += ROW_ITEMS) {
      const int row = ROW_OF(0, 1, j), bias_at = BIAS_OF(0, 1, j);
      const real sum = OF_INPUTS(row) + OF_STATE(row) + BIAS(bias_at) + BIAS(bias_at + p.size);
      STORE(COMPUTED, y, Y_AT(number) + j, NONLINEARITY(sum));
    }
    BARRIER_OF_GLOBAL();
  }
  STORE_LAST_H(last_h)
}
