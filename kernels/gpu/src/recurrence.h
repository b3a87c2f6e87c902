/*
 * recurrence.h: what recurrent operators share. A group goes through the steps of one row in one
 * direction; its work-items take the hidden units in turns. The state of one step is read where it
 * was written as a result.
 *
 * Such a kernel has `p`, `way` and `number`, which counts the steps, by these names.
 */
typedef struct {
  int steps, batch, inputs, size, directions, backwards;
  int present; /* bit i: the operator's input i is there; for another x stands */
} recurrence_parameters;

#define IS_PRESENT(input) (p.present >> (input) & 1)
#define BIAS(i) (IS_PRESENT(3) ? LOAD(COMPUTED, bias, i) : 0)
#define LENGTH (IS_PRESENT(4) ? length_within(LOAD(i32, lengths, way.row), p.steps) : p.steps)
#define INITIAL_H(i) (IS_PRESENT(5) ? LOAD(COMPUTED, initial_h, i) : 0)

/* The inputs that all have. */
// clang-format off
#define SHARED_INPUTS                                                  \
  INPUT(COMPUTED) x, INPUT(COMPUTED) w, INPUT(COMPUTED) r,             \
  INPUT(COMPUTED) bias, INPUT(i32) lengths, INPUT(COMPUTED) initial_h
// clang-format on

/* A group's row and direction, and where its state begins among the states. */
typedef struct {
  int row, direction, backwards, state;
} recurrence_way;

DEVICE recurrence_way way_of(int group, int batch, int size, int backwards) {
  recurrence_way way;
  way.row = group % batch;
  way.direction = group / batch;
  way.backwards = backwards || way.direction == 1;
  way.state = group * size;
  return way;
}

DEVICE int length_within(int given, int steps) {
  return given < 0 ? 0 : given < steps ? given : steps;
}

/* The step of a number, where its inputs begin, and where its results do. */
#define STEP(number) (way.backwards ? length - 1 - (number) : (number))
#define X_AT(number) ((STEP(number) * p.batch + way.row) * p.inputs)
#define Y_OF(step) ((((step) * p.directions + way.direction) * p.batch + way.row) * p.size)
#define Y_AT(number) Y_OF(STEP(number))

/* The row of weights, and the index of bias, of a unit's gate of `gates`; the state's bias lies
 * gates * size further. */
#define ROW_OF(gate, gates, j) ((way.direction * (gates) + (gate)) * p.size + (j))
#define BIAS_OF(gate, gates, j) ((way.direction * 2 * (gates) + (gate)) * p.size + (j))

DEVICE real product_of(INPUT(COMPUTED) rows, int row, INPUT(COMPUTED) values, int at, int count) {
  real sum = 0;
  for (int k = 0; k < count; k++)
    sum += LOAD(COMPUTED, rows, row * count + k) * LOAD(COMPUTED, values, at + k);
  return sum;
}

/* A row of weights by the inputs of a step, and by the state before it. */
#define OF_INPUTS(row) product_of(w, row, x, X_AT(number), p.inputs)
#define OF_STATE(row)                                                 \
  (number > 0      ? product_of(r, row, y, Y_AT(number - 1), p.size)  \
   : IS_PRESENT(5) ? product_of(r, row, initial_h, way.state, p.size) \
                   : 0)
#define H_BEFORE(j) \
  (number == 0 ? INITIAL_H(way.state + (j)) : LOAD(COMPUTED, y, Y_AT(number - 1) + (j)))

/* The results of steps beyond a row's length, which are 0. */
#define END_RESULTS(y)                            \
  for (int step = length; step < p.steps; step++) \
    for (int j = ITEM(0); j < p.size; j += ROW_ITEMS) STORE(COMPUTED, y, Y_OF(step) + j, 0);

/* The hidden state after the last step. */
#define STORE_LAST_H(last_h)                        \
  for (int j = ITEM(0); j < p.size; j += ROW_ITEMS) \
    STORE(COMPUTED, last_h, way.state + j,          \
          length == 0 ? INITIAL_H(way.state + j) : LOAD(COMPUTED, y, Y_AT(length - 1) + j));
