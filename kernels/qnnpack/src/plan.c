#include "plan.h"

#include <stdlib.h>
#include <string.h>

int plan_refuse(struct plan *plan, kp_answer_code code, const char *subject, const char *limit) {
  kp_refuse(plan->answer, code, subject, limit);
  return 0;
}

int plan_refuse_number(struct plan *plan, kp_answer_code code, const char *subject,
                       const char *limit, int64_t got) {
  kp_refuse_number(plan->answer, code, subject, limit, got);
  return 0;
}

int plan_layouts(struct plan *plan, int of_images) {
  const kp_problem *problem = plan->problem;
  for (uint32_t i = 0; i <= problem->num_inputs; i++) {
    const int is_output = i == problem->num_inputs;
    const kp_tensor *t = is_output ? problem->outputs : &problem->inputs[i];
    if (kp_is_absent(t)) continue;
    const int is_image = of_images && t->dl.ndim == 4 && !kp_is_constant(t);
    const char *layout = !kp_is_layout(t, "any") ? t->layout : is_image ? "nhwc" : "nchw";
    if (strcmp(layout, "nchw") != 0 && !(is_image && strcmp(layout, "nhwc") == 0))
      return plan_refuse(plan, KP_NO_LAYOUT,
                         is_output ? "y.layout"
                         : i == 0  ? "x.layout"
                                   : "layout",
                         is_image ? "nhwc or nchw" : "nchw");
    strcpy(plan->answer->layouts[i], layout);
  }
  return 1;
}

int plan_layouts_alike(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const char *chosen = problem->outputs->dl.ndim == 4 ? "nhwc" : "nchw";
  for (uint32_t i = problem->num_inputs + 1; i-- > 0;) {
    const kp_tensor *t = i == problem->num_inputs ? problem->outputs : &problem->inputs[i];
    if (!kp_is_layout(t, "any")) chosen = t->layout;
  }
  if (strcmp(chosen, "nchw") != 0 && strcmp(chosen, "nhwc") != 0)
    return plan_refuse(plan, KP_NO_LAYOUT, "layout", "nhwc or nchw");
  for (uint32_t i = 0; i <= problem->num_inputs; i++) {
    const kp_tensor *t = i == problem->num_inputs ? problem->outputs : &problem->inputs[i];
    if (!kp_is_layout(t, "any") && !kp_is_layout(t, chosen))
      return plan_refuse(plan, KP_NO_LAYOUT, "layout", "one for all tensors");
    strcpy(plan->answer->layouts[i], chosen);
  }
  return 1;
}

int64_t plan_first(const struct plan *plan, int64_t all, int64_t block, int part) {
  const int64_t first = (all + block - 1) / block * part / plan->parts * block;
  return first < all ? first : all;
}

/* Of an empty tensor too, all other extents. */
static int is_small(const kp_tensor *t) {
  int64_t size = 1;
  for (int32_t i = 0; i < t->dl.ndim; i++) {
    const int64_t extent = t->dl.shape[i] ? t->dl.shape[i] : 1;
    if (__builtin_mul_overflow(size, extent, &size)) return 0;
  }
  return size <= INT32_MAX;
}

int plan_check_sizes(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  for (uint32_t i = 0; i <= problem->num_inputs; i++) {
    const kp_tensor *t = i == problem->num_inputs ? problem->outputs : &problem->inputs[i];
    if (!kp_is_absent(t) && !is_small(t))
      return plan_refuse(plan, KP_NO_MEMORY, i == problem->num_inputs ? "y.shape" : "shape",
                         "tensors of fewer than 2^31 elements");
  }
  return 1;
}

struct image_copy plan_image(const struct plan *plan, uint32_t index) {
  const kp_problem *problem = plan->problem;
  const int is_output = index == problem->num_inputs;
  const int64_t *shape = (is_output ? problem->outputs : &problem->inputs[index])->dl.shape;
  const int is_channels_first = strcmp(plan->answer->layouts[index], "nhwc") != 0;
  return (struct image_copy){
      .is_used = is_channels_first && shape[1] != 1 && (shape[2] != 1 || shape[3] != 1),
      .is_channels_first = is_channels_first,
      .batch = shape[0],
      .height = shape[2],
      .width = shape[3],
      .channels = shape[1],
  };
}

int plan_check_image(struct plan *plan, const struct image_copy *copy) {
  int64_t size = copy->top + copy->height + copy->bottom;
  if (__builtin_mul_overflow(size, copy->left + copy->width + copy->right, &size) ||
      __builtin_mul_overflow(size, copy->channels, &size) ||
      __builtin_mul_overflow(size, copy->batch, &size) || size > INT32_MAX)
    return plan_refuse(plan, KP_NO_MEMORY, "pads", "padded images of fewer than 2^31 elements");
  return 1;
}

static uint64_t aligned(uint64_t bytes) {
  return (bytes + KP_ALIGNMENT - 1) / KP_ALIGNMENT * KP_ALIGNMENT;
}

uint64_t plan_y_offset(const struct plan *plan) {
  return plan->x.is_used ? KP_ALIGNMENT + aligned((uint64_t)image_bytes(&plan->x)) : 0;
}

uint64_t plan_scratch_bytes(const struct plan *plan) {
  if (!plan->parts) return 0;
  return plan_y_offset(plan) + (plan->y.is_used ? aligned((uint64_t)image_bytes(&plan->y)) : 0);
}

void plan_destroy(struct plan *plan) {
  free(plan->own);
  plan->own = NULL;
}
