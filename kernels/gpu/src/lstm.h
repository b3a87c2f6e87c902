/*
 * lstm.h: a group goes through the steps of one row in one direction; its work-items take the
 * hidden units in turns. The state of one step is read where it was written as a result.
 */
typedef struct {
  int steps, batch, inputs, size, directions, backwards;
} lstm_parameters;

#if HAS_BIAS
#define BIAS_BUFFER INPUT(COMPUTED) bias,
#else
#define BIAS_BUFFER
#endif
#if HAS_LENGTHS
#define LENGTHS_BUFFER INPUT(i32) lengths,
#else
#define LENGTHS_BUFFER
#endif
#if HAS_H
#define H_BUFFER INPUT(COMPUTED) initial_h,
#else
#define H_BUFFER
#endif
#if HAS_C
#define C_BUFFER INPUT(COMPUTED) initial_c,
#else
#define C_BUFFER
#endif
#if HAS_PEEPHOLES
#define PEEPHOLES_BUFFER INPUT(COMPUTED) peepholes,
#define PEEPHOLE(number, c) \
  (LOAD(COMPUTED, peepholes, (direction * 3 + (number)) * p.size + j) * (c))
#else
#define PEEPHOLES_BUFFER
#define PEEPHOLE(number, c) 0
#endif

KERNEL(ROW_ITEMS)
void lstm(INPUT(COMPUTED) x, INPUT(COMPUTED) w, INPUT(COMPUTED) r,
          BIAS_BUFFER LENGTHS_BUFFER H_BUFFER C_BUFFER PEEPHOLES_BUFFER OUTPUT(COMPUTED) y,
          OUTPUT(COMPUTED) last_h, OUTPUT(COMPUTED) last_c, const lstm_parameters p) {
  const int item = ITEM(0), row = GROUP(0) % p.batch, direction = GROUP(0) / p.batch;
  const int backwards = p.backwards || direction == 1, state = GROUP(0) * p.size;
  int length = p.steps;
#if HAS_LENGTHS
  const int given = LOAD(i32, lengths, row);
  length = given < 0 ? 0 : given < p.steps ? given : p.steps;
#endif
  for (int j = item; j < p.size; j += ROW_ITEMS) {
#if HAS_C
    STORE(COMPUTED, last_c, state + j, LOAD(COMPUTED, initial_c, state + j));
#else
    STORE(COMPUTED, last_c, state + j, 0);
#endif
#if HAS_H
    STORE(COMPUTED, last_h, state + j, LOAD(COMPUTED, initial_h, state + j));
#else
    STORE(COMPUTED, last_h, state + j, 0);
#endif
    for (int step = length; step < p.steps; step++)
      STORE(COMPUTED, y, ((step * p.directions + direction) * p.batch + row) * p.size + j, 0);
  }
  BARRIER_OF_GLOBAL();
  for (int number = 0; number < length; number++) {
    const int step = backwards ? length - 1 - number : number;
    const int x_at = (step * p.batch + row) * p.inputs;
    const int y_at = ((step * p.directions + direction) * p.batch + row) * p.size;
    const int before = backwards ? step + 1 : step - 1;
    const int h_at = ((before * p.directions + direction) * p.batch + row) * p.size;
    for (int j = item; j < p.size; j += ROW_ITEMS) {
      real gates[4];
      for (int gate = 0; gate < 4; gate++) {
        const int unit = (direction * 4 + gate) * p.size + j;
        real sum = 0;
        for (int k = 0; k < p.inputs; k++)
          sum += LOAD(COMPUTED, w, unit * p.inputs + k) * LOAD(COMPUTED, x, x_at + k);
        if (number == 0)
          for (int k = 0; k < p.size; k++)
            sum += LOAD(COMPUTED, r, unit * p.size + k) * LOAD(COMPUTED, last_h, state + k);
        else
          for (int k = 0; k < p.size; k++)
            sum += LOAD(COMPUTED, r, unit * p.size + k) * LOAD(COMPUTED, y, h_at + k);
#if HAS_BIAS
        const int bias_at = (direction * 8 + gate) * p.size + j;
        sum += LOAD(COMPUTED, bias, bias_at) + LOAD(COMPUTED, bias, bias_at + 4 * p.size);
#endif
        gates[gate] = sum;
      }
      real c = LOAD(COMPUTED, last_c, state + j);
      const real taken = sigmoid_of(gates[0] + PEEPHOLE(0, c));
      const real kept = sigmoid_of(gates[2] + PEEPHOLE(2, c));
      c = kept * c + taken * tanh_of(gates[3]);
      STORE(COMPUTED, last_c, state + j, c);
      STORE(COMPUTED, y, y_at + j, sigmoid_of(gates[1] + PEEPHOLE(1, c)) * tanh_of(c));
    }
    BARRIER_OF_GLOBAL();
  }
  if (length == 0) return;
  const int step = backwards ? 0 : length - 1;
  const int y_at = ((step * p.directions + direction) * p.batch + row) * p.size;
  for (int j = item; j < p.size; j += ROW_ITEMS)
    STORE(COMPUTED, last_h, state + j, LOAD(COMPUTED, y, y_at + j));
}
