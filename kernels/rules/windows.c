/* windows.c: sliding windows. */
#include "operators.h"

int window_attributes(const kp_problem *problem, kp_answer *answer, int dilated, window *w) {
  w->dilations[0] = w->dilations[1] = 1;
  return rules_integers(problem, answer, "strides", 2, 1, RULES_LARGEST, w->strides) ||
         rules_integers(problem, answer, "pads", 4, 0, RULES_LARGEST, w->pads) ||
         (dilated &&
          rules_integers(problem, answer, "dilations", 2, 1, RULES_LARGEST, w->dilations));
}

int window_output(kp_answer *answer, const window *w, const int64_t *extents, int ceil_mode,
                  const int64_t *output) {
  for (int i = 0; i < 2; i++) {
    const __int128 padded = (__int128)extents[i] + w->pads[i] + w->pads[i + 2];
    const __int128 span = (__int128)(w->kernel[i] - 1) * w->dilations[i] + 1;
    if (padded < span) return rules_no_shape(answer, "x", "at least the window's extent");
    const __int128 steps = padded - span, stride = w->strides[i];
    __int128 count = (ceil_mode ? (steps + stride - 1) / stride : steps / stride) + 1;
    if (ceil_mode && (count - 1) * stride >= (__int128)extents[i] + w->pads[i]) count--;
    if (count != output[i]) {
      kp_refuse_number(answer, KP_NO_SHAPE, "y", "the window's output", output[i]);
      return 1;
    }
  }
  return 0;
}

/* Ranks, batch and channels, and pixels to pool. */
static int check_images(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  if (rules_rank(answer, x, "x", 4) || rules_rank(answer, y, "y", 4)) return 1;
  if (x->dl.shape[2] < 1 || x->dl.shape[3] < 1) return rules_no_shape(answer, "x", "pixels");
  if (x->dl.shape[0] != y->dl.shape[0] || x->dl.shape[1] != y->dl.shape[1])
    return rules_no_shape(answer, "y", "x's images and channels");
  return 0;
}

static int check_pool(const kp_problem *problem, kp_answer *answer, int dilated) {
  window w;
  int64_t ceil_mode;
  if (check_images(problem, answer) || window_attributes(problem, answer, dilated, &w) ||
      rules_integers(problem, answer, "kernel_shape", 2, 1, RULES_LARGEST, w.kernel) ||
      rules_flag(problem, answer, "ceil_mode", &ceil_mode))
    return 1;
  for (int i = 0; i < 4; i++)
    if (w.pads[i] >= w.kernel[i % 2])
      return rules_no_attribute(answer, "pads", "less than the window");
  return window_output(answer, &w, problem->inputs->dl.shape + 2, (int)ceil_mode,
                       problem->outputs->dl.shape + 2);
}

static int check_dtype(const kp_problem *problem, kp_answer *answer) {
  return rules_same_dtype(answer, problem->outputs, "y.dtype", problem->inputs);
}

int rule_avg_pool2d_shapes(const kp_problem *problem, kp_answer *answer) {
  int64_t include;
  return rules_flag(problem, answer, "count_include_pad", &include) ||
         check_pool(problem, answer, 0);
}

int rule_global_pool2d_shapes(const kp_problem *problem, kp_answer *answer) {
  if (check_images(problem, answer)) return 1;
  const int64_t *y = problem->outputs->dl.shape;
  return y[2] == 1 && y[3] == 1 ? 0 : rules_no_shape(answer, "y", "1x1 pixels");
}

int rule_max_pool2d(const kp_problem *problem, kp_answer *answer) {
  return check_dtype(problem, answer) || check_pool(problem, answer, 1);
}

int rule_avg_pool2d(const kp_problem *problem, kp_answer *answer) {
  return check_dtype(problem, answer) || rule_avg_pool2d_shapes(problem, answer);
}

int rule_global_pool2d(const kp_problem *problem, kp_answer *answer) {
  return check_dtype(problem, answer) || rule_global_pool2d_shapes(problem, answer);
}
