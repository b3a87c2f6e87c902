/*
 * Functions of two tensors with broadcasting. maximum and minimum are left out:
 * oneDNN's lose a NaN in the first operand.
 */
#include <string.h>

#include "cost.h"
#include "folding.h"
#include "tensor.h"

/*
 * Shapes folded for oneDNN: neighbouring dimensions that broadcast alike are
 * one, ones in front are dropped, and rank 3 at least is kept since its fast
 * paths look for channels in dimension 1.
 */
struct folded {
  int rank;
  dnnl_dims_t x, y, z; /* the inputs and the output */
};

static int64_t extent_of(const kp_tensor *tensor, int rank, int axis) {
  const int own = axis - (rank - tensor->dl.ndim);
  return own < 0 ? 1 : tensor->dl.shape[own];
}

static int fold(struct plan *plan, const kp_tensor *x, const kp_tensor *y, const kp_tensor *z,
                struct folded *folded) {
  const int rank = z->dl.ndim;
  int previous = -1;
  folded->rank = 0;
  for (int axis = 0; axis < rank; axis++) {
    const int64_t a = extent_of(x, rank, axis), b = extent_of(y, rank, axis), c = z->dl.shape[axis];
    if ((a != c && a != 1) || (b != c && b != 1))
      return plan_refuse(plan, KP_NO_SHAPE, "shapes", "some that broadcast to the output's");
    if (c == 1) continue;
    const int kind = (a == 1) * 2 + (b == 1);
    if (kind != previous) {
      const int i = folded->rank++;
      folded->x[i] = folded->y[i] = folded->z[i] = 1;
      previous = kind;
    }
    const int i = folded->rank - 1;
    folded->x[i] *= a, folded->y[i] *= b, folded->z[i] *= c;
  }
  if (folded->rank > 5)
    return plan_refuse_number(plan, KP_NO_RANK, "changes of broadcasting along the axes", "<= 5",
                              folded->rank);
  return 1;
}

/* Ones in front, so that a lone broadcast dimension is dimension 1. */
static void pad_front(struct folded *folded, int rank) {
  int64_t *all[3] = {folded->x, folded->y, folded->z};
  const int ones = rank - folded->rank;
  if (ones <= 0) return;
  for (int t = 0; t < 3; t++) {
    memmove(all[t] + ones, all[t], sizeof(int64_t) * (size_t)folded->rank);
    for (int i = 0; i < ones; i++) all[t][i] = 1;
  }
  folded->rank = rank;
}

static int is_compare(dnnl_alg_kind_t algorithm) {
  return algorithm >= dnnl_binary_ge && algorithm <= dnnl_binary_ne;
}

/* f(b, a) for f(a, b), or undef: oneDNN is fast when its second operand is the broadcast one. */
static dnnl_alg_kind_t swapped(dnnl_alg_kind_t algorithm) {
  switch (algorithm) {
    case dnnl_binary_add:
    case dnnl_binary_mul:
    case dnnl_binary_eq:
    case dnnl_binary_ne:
      return algorithm;
    case dnnl_binary_ge:
      return dnnl_binary_le;
    case dnnl_binary_gt:
      return dnnl_binary_lt;
    case dnnl_binary_le:
      return dnnl_binary_ge;
    case dnnl_binary_lt:
      return dnnl_binary_gt;
    default:
      return dnnl_alg_kind_undef;
  }
}

struct operands {
  dnnl_alg_kind_t algorithm;
  uint32_t first, second; /* inputs, perhaps swapped */
  const_dnnl_memory_desc_t x, y, z;
};

static int describe_folded(struct plan *plan, struct operands *o) {
  const kp_problem *problem = plan->problem;
  struct folded folded;
  if (!fold(plan, &problem->inputs[o->first], &problem->inputs[o->second], problem->outputs,
            &folded))
    return 0;
  pad_front(&folded, folded.rank <= 1 ? 1 : 3);
  o->x = plan_desc(plan, folded.rank, folded.x, plan->dtype, "nchw");
  o->y = plan_desc(plan, folded.rank, folded.y, plan->dtype, "nchw");
  o->z = plan_desc(plan, folded.rank, folded.z, tensor_dtype(problem->outputs), "nchw");
  return o->x && o->y && o->z;
}

/* In image layouts: an operand of the output's shape shares its layout, a smaller one has its own.
 */
static int describe_image(struct plan *plan, struct operands *o, const char *layout) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *z = problem->outputs;
  const uint32_t inputs[2] = {o->first, o->second};
  const_dnnl_memory_desc_t descs[2];
  for (int i = 0; i < 2; i++) {
    const kp_tensor *tensor = &problem->inputs[inputs[i]];
    const int rank = tensor->dl.ndim;
    dnnl_dims_t shape = {1, 1, 1, 1};
    if (rank > 4) return plan_refuse_number(plan, KP_NO_RANK, "rank", "<= 4", rank);
    memcpy(shape + 4 - rank, tensor->dl.shape, sizeof(int64_t) * (size_t)rank);
    const int same = tensor_same_shape(tensor, z);
    const char *own = same ? layout : tensor_is_any(tensor) || rank != 4 ? "nchw" : tensor->layout;
    descs[i] = plan_desc(plan, 4, shape, plan->dtype, own);
  }
  o->x = descs[0];
  o->y = descs[1];
  o->z = plan_desc(plan, 4, z->dl.shape, tensor_dtype(z), layout);
  return o->x && o->y && o->z;
}

static int describe_row(struct plan *plan, struct operands *o, int64_t elements) {
  o->x = o->y = fold_row(plan, elements, plan->dtype);
  o->z = fold_row(plan, elements, tensor_dtype(plan->problem->outputs));
  return o->x && o->z;
}

/*
 * Blocked channels with an operand that is the same for all pixels: stored as
 * (N, blocks, pixels, block), which oneDNN is fast at whatever the block.
 * Returns -1 where it isn't so.
 */
static int describe_blocks(struct plan *plan, struct operands *o, const char *layout) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[o->first], *y = &problem->inputs[o->second];
  const kp_tensor *z = problem->outputs;
  const int64_t block = strcmp(layout, "nChw16c") == 0 ? 16 : 8;
  const int64_t batch = z->dl.shape[0], channels = z->dl.shape[1];
  const int64_t blocks = (channels + block - 1) / block, pixels = tensor_extent(z, 2, 4);
  const int laid_out_alike = tensor_has_layout(y, layout) || channels % block == 0;
  const int zero_stays = channels % block == 0 || o->algorithm == dnnl_binary_mul ||
                         o->algorithm == dnnl_binary_add || o->algorithm == dnnl_binary_sub;
  if (!tensor_same_shape(x, z) || y->dl.ndim > 4 || extent_of(y, 4, 1) != channels ||
      extent_of(y, 4, 2) * extent_of(y, 4, 3) != 1 || !laid_out_alike || !zero_stays)
    return -1;
  /* Images and blocks are one dimension unless the operand is the same for all images. */
  const int apart = extent_of(y, 4, 0) != batch;
  const int64_t full[4] = {batch, blocks, pixels, block}, row[4] = {1, blocks, 1, block};
  const int64_t folded_full[3] = {batch * blocks, pixels, block};
  const int64_t folded_row[3] = {batch * blocks, 1, block};
  o->x = plan_desc(plan, 3 + apart, apart ? full : folded_full, plan->dtype, "nchw");
  o->y = plan_desc(plan, 3 + apart, apart ? row : folded_row, plan->dtype, "nchw");
  o->z = plan_desc(plan, 3 + apart, apart ? full : folded_full, tensor_dtype(z), "nchw");
  return o->x && o->y && o->z;
}

static int describe(struct plan *plan, struct operands *o, const char *layout) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *x = &problem->inputs[o->first], *y = &problem->inputs[o->second];
  const int plain = problem->outputs->dl.ndim != 4 || strcmp(layout, "nchw") == 0;
  const int same = tensor_same_shape(x, problem->outputs) && tensor_same_shape(y, problem->outputs);
  if (same) {
    /* 0/0 isn't 0, and 0 == 0 isn't either: their filling needs care. */
    const int64_t stored = fold_stored_elements(x, layout);
    const int keeps_zero = o->algorithm == dnnl_binary_add || o->algorithm == dnnl_binary_sub ||
                           o->algorithm == dnnl_binary_mul;
    if (stored == kp_elements(x) || keeps_zero) return describe_row(plan, o, stored);
  }
  if (plain) {
    for (int i = 0; i < 2; i++)
      if (!tensor_has_layout(&problem->inputs[i], "nchw") && !tensor_is_any(&problem->inputs[i]))
        return plan_refuse(plan, KP_NO_LAYOUT, "layouts of the inputs", "the output's");
    return describe_folded(plan, o);
  }
  const int64_t stored = fold_stored_elements(problem->outputs, layout);
  if (kp_elements(y) == 1 && tensor_same_shape(x, problem->outputs) &&
      stored == kp_elements(problem->outputs)) {
    if (!describe_row(plan, o, stored)) return 0;
    o->y = fold_row(plan, 1, plan->dtype);
    return o->y != NULL;
  }
  const int blocked = strcmp(layout, "nhwc") == 0 ? -1 : describe_blocks(plan, o, layout);
  return blocked >= 0 ? blocked : describe_image(plan, o, layout);
}

static int build(struct plan *plan) {
  const kp_problem *problem = plan->problem;
  const kp_tensor *z = problem->outputs;
  struct operands o = {(dnnl_alg_kind_t)plan->row->parameter, 0, 1, NULL, NULL, NULL};
  if (problem->num_inputs != 2)
    return plan_refuse_number(plan, KP_NO_SHAPE, "number of inputs", "2", problem->num_inputs);
  if (problem->num_epilogues) return plan_refuse(plan, KP_NO_EPILOGUE, "epilogue", "none");
  if (tensor_dtype(&problem->inputs[1]) != plan->dtype)
    return plan_refuse(plan, KP_NO_DTYPE, "y.dtype", "x.dtype");
  if (tensor_dtype(z) != (is_compare(o.algorithm) ? dnnl_u8 : plan->dtype))
    return plan_refuse(plan, KP_NO_DTYPE, "z.dtype", is_compare(o.algorithm) ? "bool" : "x.dtype");
  const char *layout = fold_shared_layout(plan);
  if (!layout) return 0;
  if (!tensor_same_shape(&problem->inputs[0], z) && swapped(o.algorithm) != dnnl_alg_kind_undef) {
    o.algorithm = swapped(o.algorithm);
    o.first = 1;
    o.second = 0;
  }
  if (!describe(plan, &o, layout)) return 0;
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return 0;
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status = plan->dnnl->binary_primitive_desc_create(
      &primitive, plan->engine, o.algorithm, o.x, o.y, o.z, attributes);
  plan->dnnl->primitive_attr_destroy(attributes);
  if (!plan_keep(plan, status, primitive, "binary") || !plan_step(plan, primitive) ||
      !plan_argument(plan, DNNL_ARG_SRC_0, plan_buffer(o.first, o.x)) ||
      !plan_argument(plan, DNNL_ARG_SRC_1, plan_buffer(o.second, o.y)) ||
      !plan_argument(plan, DNNL_ARG_DST, plan_buffer(2, o.z)))
    return 0;
  for (uint32_t i = 0; i < 2; i++)
    if (tensor_same_shape(&problem->inputs[i], z) && !is_compare(o.algorithm))
      plan->answer->may_overwrite |= 1u << i;
  plan_finish(plan, 0, cost_share(plan, primitive));
  return 1;
}

#define ROW(operator_name, algorithm) \
  {operator_name, "binary", FLOATS, KP_KERNEL_DETERMINISTIC, build, algorithm, SOURCE}

const struct kernel_row binary_kernels[] = {ROW("add", dnnl_binary_add),
                                            ROW("div", dnnl_binary_div),
                                            ROW("equal", dnnl_binary_eq),
                                            ROW("greater", dnnl_binary_gt),
                                            ROW("greater_equal", dnnl_binary_ge),
                                            ROW("less", dnnl_binary_lt),
                                            ROW("less_equal", dnnl_binary_le),
                                            ROW("mul", dnnl_binary_mul),
                                            ROW("not_equal", dnnl_binary_ne),
                                            ROW("sub", dnnl_binary_sub),
                                            {0}};
