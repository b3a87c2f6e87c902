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

/* Tuples of indices name places along x's axes from `batch_dims` on; before those both have the
 * same. */
static int check_tuples(const kp_problem *problem, kp_answer *answer, int64_t batch_dims) {
  const kp_tensor *x = &problem->inputs[0], *indices = &problem->inputs[1];
  if (check_dtype(answer, indices)) return 1;
  const int64_t most = x->dl.ndim - batch_dims;
  if (most < 1) return rules_rank(answer, x, "x", (int32_t)batch_dims + 1);
  if (indices->dl.ndim <= batch_dims)
    return rules_rank(answer, indices, "indices", (int32_t)batch_dims + 1);
  const int64_t last = indices->dl.shape[indices->dl.ndim - 1];
  if (last < 1 || last > most)
    return rules_no_shape(answer, "indices", "as many indices as x has axes at most");
  for (int64_t i = 0; i < batch_dims; i++)
    if (indices->dl.shape[i] != x->dl.shape[i])
      return rules_no_shape(answer, "indices", "x's first extents");
  for (int64_t i = 0; i < last; i++)
    if (check_extent(answer, x, batch_dims + i, indices)) return 1;
  return 0;
}

/* `tensor` has a slice of x, beyond the named axes, for each tuple of indices. */
static int check_slices(const kp_problem *problem, kp_answer *answer, const kp_tensor *tensor,
                        const char *subject, int64_t batch_dims) {
  const DLTensor *x = &problem->inputs[0].dl, *indices = &problem->inputs[1].dl;
  const int32_t last = indices->ndim - 1;
  int64_t shape[2 * RULES_MAX_RANK];
  int32_t rank = 0;
  for (int32_t i = 0; i < last; i++) shape[rank++] = indices->shape[i];
  for (int64_t i = batch_dims + indices->shape[last]; i < x->ndim; i++) shape[rank++] = x->shape[i];
  return rules_shape(answer, tensor, subject, rank, shape);
}

int rule_gather_nd(const kp_problem *problem, kp_answer *answer) {
  const kp_tensor *y = problem->outputs;
  int64_t batch_dims;
  return rules_integer(problem, answer, "batch_dims", 0, RULES_MAX_RANK, &batch_dims) ||
         rules_same_dtype(answer, y, "y.dtype", &problem->inputs[0]) ||
         check_tuples(problem, answer, batch_dims) ||
         check_slices(problem, answer, y, "y", batch_dims);
}

/* Updates and y are of x's dtype, y is of its shape; truth values aren't combined. */
static int check_scattered(const kp_problem *problem, kp_answer *answer) {
  static const char *const reductions[] = {"none", "add", "mul", "max", "min", NULL};
  const kp_tensor *x = &problem->inputs[0], *y = problem->outputs;
  int reduction;
  if (rules_choice(problem, answer, "reduction", reductions, &reduction) ||
      rules_same_dtype(answer, &problem->inputs[2], "updates.dtype", x) ||
      rules_same_dtype(answer, y, "y.dtype", x) || rules_same_shape(answer, y, "y", x))
    return 1;
  if (reduction == 0 || x->dl.dtype.code != kDLBool) return 0;
  kp_refuse(answer, KP_NO_DTYPE, "x.dtype", "numbers where they are combined");
  return 1;
}

int rule_scatter_elements(const kp_problem *problem, kp_answer *answer) {
  return check_scattered(problem, answer) || check_along(problem, answer) ||
         rules_same_shape(answer, &problem->inputs[2], "updates", &problem->inputs[1]);
}

int rule_scatter_nd(const kp_problem *problem, kp_answer *answer) {
  return check_scattered(problem, answer) || check_tuples(problem, answer, 0) ||
         check_slices(problem, answer, &problem->inputs[2], "updates", 0);
}
