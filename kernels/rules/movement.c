/* movement.c: operators that move elements. */
#include <math.h>

#include "operators.h"

/* Extents of `tensor` but for `axis` are those of `other`. */
static int same_but_for_axis(kp_answer *answer, const kp_tensor *tensor, const char *subject,
                             const kp_tensor *other, int64_t axis) {
  if (rules_same_dtype(answer, tensor, subject, other) ||
      rules_rank(answer, tensor, subject, other->dl.ndim))
    return 1;
  for (int32_t i = 0; i < other->dl.ndim; i++)
    if (i != axis && tensor->dl.shape[i] != other->dl.shape[i])
      return rules_no_shape(answer, subject, "the first's extents but for the axis");
  return 0;
}

/* `count` parts make up `whole` along an axis. */
static int check_parts(kp_answer *answer, const kp_tensor *whole, const kp_tensor *parts,
                       uint32_t count, int64_t axis) {
  int64_t extent = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (same_but_for_axis(answer, &parts[i], "a part", whole, axis)) return 1;
    if (__builtin_add_overflow(extent, parts[i].dl.shape[axis], &extent))
      return rules_no_shape(answer, "the parts", "extents that can be added");
  }
  if (extent == whole->dl.shape[axis]) return 0;
  kp_refuse_number(answer, KP_NO_SHAPE, "the parts", "extents that add up to the whole's", extent);
  return 1;
}

int rule_concat(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *y = problem->outputs;
  int64_t axis;
  return rules_integer(problem, answer, "axis", 0, y->dl.ndim - 1, &axis) ||
         check_parts(answer, y, problem->inputs, problem->num_operator_inputs, axis);
}

int rule_split(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs;
  const kp_attribute *sizes = kp_find_attribute(problem, "sizes");
  int64_t axis;
  if (rules_integer(problem, answer, "axis", 0, x->dl.ndim - 1, &axis) ||
      check_parts(answer, x, problem->outputs, problem->num_outputs, axis))
    return 1;
  if (!sizes || sizes->type != KP_INTEGERS || sizes->count != problem->num_outputs)
    return rules_no_attribute(answer, "sizes", "one for each output");
  for (uint32_t i = 0; i < sizes->count; i++)
    if (sizes->integers[i] != problem->outputs[i].dl.shape[axis])
      return rules_no_attribute(answer, "sizes", "the outputs' extents");
  return 0;
}

int rule_slice(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  const int32_t rank = x->dl.ndim;
  int64_t starts[RULES_MAX_RANK], counts[RULES_MAX_RANK], steps[RULES_MAX_RANK];
  if (rules_integers(problem, answer, "starts", rank, 0, INT64_MAX, starts) ||
      rules_integers(problem, answer, "counts", rank, 0, INT64_MAX, counts) ||
      rules_integers(problem, answer, "steps", rank, INT64_MIN, INT64_MAX, steps) ||
      rules_same_dtype(answer, y, "y.dtype", x) || rules_shape(answer, y, "y", rank, counts))
    return 1;
  for (int32_t i = 0; i < rank; i++) {
    const __int128 last = starts[i] + (__int128)(counts[i] - 1) * steps[i];
    if (steps[i] == 0) return rules_no_attribute(answer, "steps", "other than 0");
    if (counts[i] <= 1 && steps[i] != 1) return rules_no_attribute(answer, "steps", "1");
    if (counts[i] == 0 ? starts[i] != 0
                       : starts[i] >= x->dl.shape[i] || last < 0 || last >= x->dl.shape[i])
      return rules_no_attribute(answer, "starts", "elements of x");
  }
  return 0;
}

int rule_pad(const kp_problem *problem, kp_answer *answer) {
  static const char *const modes[] = {"constant", "reflect", "edge", "wrap", NULL};
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  const int32_t rank = x->dl.ndim;
  int64_t pads[2 * RULES_MAX_RANK], shape[RULES_MAX_RANK];
  int mode;
  if (rules_integers(problem, answer, "pads", 2 * rank, 0, INT64_MAX, pads) ||
      rules_choice(problem, answer, "mode", modes, &mode) ||
      rules_reals(problem, answer, "value", 1, NULL) || rules_same_dtype(answer, y, "y.dtype", x))
    return 1;
  for (int32_t i = 0; i < rank; i++) {
    if (__builtin_add_overflow(x->dl.shape[i], pads[i], &shape[i]) ||
        __builtin_add_overflow(shape[i], pads[rank + i], &shape[i]))
      return rules_no_attribute(answer, "pads", "a size that can be counted");
    if (mode != 0 && x->dl.shape[i] == 0 && shape[i] > 0)
      return rules_no_shape(answer, "x", "elements to repeat");
  }
  return rules_shape(answer, y, "y", rank, shape);
}

int rule_transpose(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  const int32_t rank = x->dl.ndim;
  int64_t permutation[RULES_MAX_RANK], shape[RULES_MAX_RANK];
  char seen[RULES_MAX_RANK] = {0};
  if (rules_integers(problem, answer, "permutation", rank, 0, rank - 1, permutation)) return 1;
  for (int32_t i = 0; i < rank; i++) {
    if (seen[permutation[i]]++) return rules_no_attribute(answer, "permutation", "each axis once");
    shape[i] = x->dl.shape[permutation[i]];
  }
  return rules_same_dtype(answer, y, "y.dtype", x) || rules_shape(answer, y, "y", rank, shape);
}

int rule_channel_shuffle(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  int64_t groups;
  if (x->dl.ndim < 2) return rules_rank(answer, x, "x", 2);
  if (rules_integer(problem, answer, "groups", 1, INT64_MAX, &groups)) return 1;
  if (x->dl.shape[1] % groups) return rules_no_attribute(answer, "groups", "a divisor");
  return rules_same_dtype(answer, y, "y.dtype", x) || rules_same_shape(answer, y, "y", x);
}

/* The attribute "shape" is y's. */
static int check_shape_attribute(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *y = problem->outputs;
  int64_t shape[RULES_MAX_RANK];
  return rules_integers(problem, answer, "shape", y->dl.ndim, 0, INT64_MAX, shape) ||
         rules_shape(answer, y, "y", y->dl.ndim, shape) ||
         rules_same_dtype(answer, y, "y.dtype", problem->inputs);
}

int rule_expand(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  if (check_shape_attribute(problem, answer)) return 1;
  if (x->dl.ndim > y->dl.ndim) return rules_rank(answer, x, "x", y->dl.ndim);
  const int64_t *shape = y->dl.shape + (y->dl.ndim - x->dl.ndim);
  for (int32_t i = 0; i < x->dl.ndim; i++)
    if (x->dl.shape[i] != 1 && x->dl.shape[i] != shape[i])
      return rules_no_shape(answer, "x", "a shape that broadcasts to y's");
  return 0;
}

int rule_reshape(const kp_problem *problem, kp_answer *answer) {
  int64_t allow_zero;
  if (rules_integer(problem, answer, "allow_zero", 1, 1, &allow_zero) ||
      check_shape_attribute(problem, answer))
    return 1;
  return kp_elements(problem->inputs) == kp_elements(problem->outputs)
             ? 0
             : rules_no_shape(answer, "y", "as many elements as x has");
}

int rule_resize(const kp_problem *problem, kp_answer *answer) {
  static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
  static const char *const coordinates[] = {"half_pixel", "pytorch_half_pixel",   "align_corners",
                                            "asymmetric", "half_pixel_symmetric", NULL};
  static const char *const rounding[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil",
                                         NULL};
  const kp_tensor *x = problem->inputs, *y = problem->outputs;
  const int32_t rank = x->dl.ndim, code = x->dl.dtype.code;
  int mode;
  int64_t sizes[RULES_MAX_RANK], exclude;
  double scales[RULES_MAX_RANK];
  if (rules_integers(problem, answer, "sizes", rank, 0, INT64_MAX, sizes) ||
      rules_reals(problem, answer, "scales", rank, scales) ||
      rules_choice(problem, answer, "mode", modes, &mode) ||
      rules_choice(problem, answer, "coordinate_mode", coordinates, NULL) ||
      rules_choice(problem, answer, "nearest_mode", rounding, NULL) ||
      rules_reals(problem, answer, "cubic_coefficient", 1, NULL) ||
      rules_flag(problem, answer, "exclude_outside", &exclude) ||
      rules_same_dtype(answer, y, "y.dtype", x) || rules_shape(answer, y, "y", rank, sizes))
    return 1;
  if (mode != 0 && code != kDLFloat && code != kDLBfloat)
    return rules_no_attribute(answer, "mode", "nearest for integers");
  for (int32_t i = 0; i < rank; i++) {
    if (!(scales[i] > 0) || !isfinite(scales[i]))
      return rules_no_attribute(answer, "scales", "> 0");
    if (x->dl.shape[i] == 0 && sizes[i]) return rules_no_shape(answer, "x", "elements to repeat");
  }
  return 0;
}

int rule_grid_sample(const kp_problem *problem, kp_answer *answer) {
  static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
  static const char *const paddings[] = {"zeros", "border", "reflection", NULL};
  enum { FARTHEST = 1 << 30 }; /* pixels along an axis */
  const kp_tensor *x = &problem->inputs[0], *grid = &problem->inputs[1], *y = problem->outputs;
  int64_t aligned;
  if (rules_choice(problem, answer, "mode", modes, NULL) ||
      rules_choice(problem, answer, "padding_mode", paddings, NULL) ||
      rules_flag(problem, answer, "align_corners", &aligned) || rules_rank(answer, x, "x", 4) ||
      rules_rank(answer, grid, "grid", 4) || rules_same_dtype(answer, grid, "grid.dtype", x) ||
      rules_same_dtype(answer, y, "y.dtype", x))
    return 1;
  const int64_t *from = x->dl.shape, *to = grid->dl.shape;
  if (to[0] != from[0] || to[3] != 2)
    return rules_no_shape(answer, "grid", "two numbers for each place of each image");
  for (int i = 2; i < 4; i++)
    if (from[i] < 1 || from[i] > FARTHEST)
      return rules_no_shape(answer, "x", "a height and a width from 1 to 2**30");
  const int64_t shape[] = {from[0], from[1], to[1], to[2]};
  return rules_shape(answer, y, "y", 4, shape);
}
