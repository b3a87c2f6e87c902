/* recurrence.c: operators that carry a state from step to step. */
#include "operators.h"

/* Absent, or of the dtype of x and of this shape. */
static int check_part(const kp_problem *problem, kp_answer *answer, const kp_tensor *t,
                      const char *subject, int32_t rank, const int64_t *shape) {
  return !kp_is_absent(t) && (rules_same_dtype(answer, t, subject, problem->inputs) ||
                              rules_shape(answer, t, subject, rank, shape));
}

/* What recurrent operators have in common: x, w, r, bias, sequence_lens, initial_h, y and last_h
 * of `gates` for each hidden unit. Fills in [directions, sequences, hidden]. */
static int check_recurrence(const kp_problem *problem, kp_answer *answer, int64_t gates,
                            int64_t *state) {
  static const char *const directions[] = {"forward", "reverse", "bidirectional", NULL};
  const kp_tensor *inputs = problem->inputs, *outputs = problem->outputs;
  const int64_t *x = inputs[0].dl.shape, *r = inputs[2].dl.shape;
  int direction;
  for (uint32_t i = 0; i < 3; i++)
    if (rules_rank(answer, &inputs[i], "x, w and r", 3)) return 1;
  if (rules_choice(problem, answer, "direction", directions, &direction)) return 1;
  const int64_t d = direction == 2 ? 2 : 1, h = r[2];
  if (h > INT32_MAX) return rules_no_shape(answer, "r", "a hidden size below 2^31");
  const kp_tensor *lengths = &inputs[4];
  if (!kp_is_absent(lengths) && !kp_is_dtype(lengths, kDLInt, 32)) {
    kp_refuse(answer, KP_NO_DTYPE, "sequence_lens.dtype", "int32");
    return 1;
  }
  if (!kp_is_absent(lengths) && rules_shape(answer, lengths, "sequence_lens", 1, &x[1])) return 1;
  state[0] = d, state[1] = x[1], state[2] = h;
  return check_part(problem, answer, &inputs[1], "w", 3, (int64_t[]){d, gates * h, x[2]}) ||
         check_part(problem, answer, &inputs[2], "r", 3, (int64_t[]){d, gates * h, h}) ||
         check_part(problem, answer, &inputs[3], "bias", 2, (int64_t[]){d, 2 * gates * h}) ||
         check_part(problem, answer, &inputs[5], "initial_h", 3, state) ||
         check_part(problem, answer, &outputs[0], "y", 4, (int64_t[]){x[0], d, x[1], h}) ||
         check_part(problem, answer, &outputs[1], "last_h", 3, state);
}

int rule_lstm(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *inputs = problem->inputs;
  int64_t state[3];
  return check_recurrence(problem, answer, 4, state) ||
         check_part(problem, answer, &inputs[6], "initial_c", 3, state) ||
         check_part(problem, answer, &inputs[7], "peepholes", 2,
                    (int64_t[]){state[0], 3 * state[2]}) ||
         check_part(problem, answer, &problem->outputs[2], "last_c", 3, state);
}

int rule_gru(const kp_problem *problem, kp_answer *answer) {
  int64_t linear_before_reset, state[3];
  return rules_flag(problem, answer, "linear_before_reset", &linear_before_reset) ||
         check_recurrence(problem, answer, 3, state);
}

int rule_rnn(const kp_problem *problem, kp_answer *answer) {
  static const char *const functions[] = {"tanh", "relu", NULL};
  int64_t state[3];
  return rules_choice(problem, answer, "nonlinearity", functions, NULL) ||
         check_recurrence(problem, answer, 1, state);
}
