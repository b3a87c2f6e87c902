#include "window.h"

struct window window_of(const kp_problem *problem, const int64_t *kernel) {
  const int64_t *x = problem->inputs->dl.shape, *y = problem->outputs->dl.shape;
  struct window w;
  for (uint32_t i = 0; i < 2; i++) {
    w.extent[i] = x[2 + i];
    w.output[i] = y[2 + i];
    w.kernel[i] = kernel[i];
    w.strides[i] = kp_integer(problem, "strides", i, 1);
    w.dilations[i] = kp_integer(problem, "dilations", i, 1);
    w.pads[i] = kp_integer(problem, "pads", i, 0);
  }
  return w;
}

static int64_t span(const struct window *w, int i) {
  return (w->kernel[i] - 1) * w->dilations[i] + 1;
}

int window_pads_alike(const struct window *w) {
  for (int i = 0; i < 2; i++) {
    const int64_t steps = w->extent[i] + 2 * w->pads[i] - span(w, i);
    if (steps < 0 || steps / w->strides[i] + 1 != w->output[i]) return 0;
  }
  return 1;
}

int64_t window_reached_behind(const struct window *w, int i) {
  const int64_t end = (w->output[i] - 1) * w->strides[i] + span(w, i);
  const int64_t behind = end - w->pads[i] - w->extent[i];
  return behind > 0 ? behind : 0;
}

int window_pad_in_scratch(struct plan *plan, struct window *w) {
  struct image_copy *copy = &plan->x;
  copy->is_used = 1;
  copy->top = w->pads[0];
  copy->left = w->pads[1];
  copy->bottom = window_reached_behind(w, 0);
  copy->right = window_reached_behind(w, 1);
  w->extent[0] += copy->top + copy->bottom;
  w->extent[1] += copy->left + copy->right;
  w->pads[0] = w->pads[1] = 0;
  return plan_check_image(plan, copy);
}
