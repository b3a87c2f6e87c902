/* indexing.c: operators that take indices, which are bounded where they are used. */
#include "operators.h"

static int check_dtype(kp_answer *answer, const kp_tensor *indices) {
  if (kp_is_dtype(indices, kDLInt, 64) || kp_is_dtype(indices, kDLInt, 32)) return 0;
  kp_refuse(answer, KP_NO_DTYPE, "indices.dtype", "int32 or int64");
  return 1;
}

/* There is something along an axis that indices name parts of. */
static int check_extent(kp_answer *answer, const kp_tensor *x, int64_t axis,
                        const kp_tensor *indices) {
  if (x->dl.shape[axis] || !kp_elements(indices)) return 0;
  return rules_no_shape(answer, "x", "elements along the axis");
}

int rule_gather(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = &problem->inputs[0], *indices = &problem->inputs[1];
  const kp_tensor *y = problem->outputs;
  int64_t axis, shape[2 * RULES_MAX_RANK];
  int32_t rank = 0;
  if (rules_integer(problem, answer, "axis", 0, x->dl.ndim - 1, &axis) ||
      rules_same_dtype(answer, y, "y.dtype", x) || check_dtype(answer, indices) ||
      check_extent(answer, x, axis, indices))
    return 1;
  for (int32_t i = 0; i < axis; i++) shape[rank++] = x->dl.shape[i];
  for (int32_t i = 0; i < indices->dl.ndim; i++) shape[rank++] = indices->dl.shape[i];
  for (int32_t i = (int32_t)axis + 1; i < x->dl.ndim; i++) shape[rank++] = x->dl.shape[i];
  return rules_shape(answer, y, "y", rank, shape);
}

/* Indices of elements along an axis of x, beside which they lie in x. */
static int check_along(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *x = &problem->inputs[0], *indices = &problem->inputs[1];
  int64_t axis;
  if (rules_integer(problem, answer, "axis", 0, x->dl.ndim - 1, &axis) ||
      check_dtype(answer, indices) || rules_rank(answer, indices, "indices", x->dl.ndim) ||
      check_extent(answer, x, axis, indices))
    return 1;
  for (int32_t i = 0; i < x->dl.ndim; i++)
    if (i != axis && indices->dl.shape[i] > x->dl.shape[i])
      return rules_no_shape(answer, "indices", "x's extents beside the axis at most");
  return 0;
}

int rule_gather_elements(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *y = problem->outputs;
  return check_along(problem, answer) ||
         rules_same_dtype(answer, y, "y.dtype", &problem->inputs[0]) ||
         rules_same_shape(answer, y, "y", &problem->inputs[1]);
}
