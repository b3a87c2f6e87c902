#include "quantized.h"

#include <stdlib.h>

#include "quantization.h"
#include "tensor.h"

static int read_zero(struct plan *plan, struct quantized *q) {
  const int32_t zero = quantized_zero(q->w, 0);
  for (int64_t i = 1; i < q->w->quantization->count; i++)
    if (quantized_zero(q->w, i) != zero)
      return plan_refuse_number(plan, KP_NO_QUANTIZATION, "w's zero points", "all alike",
                                quantized_zero(q->w, i));
  q->w_flips = kp_is_dtype(q->w, kDLUInt, 8);
  q->w_zero = q->w_flips ? zero - 128 : zero;
  if (q->w_flips && !kp_is_constant(q->w))
    return plan_refuse(plan, KP_NO_CONSTANT, "w", "constant where it is uint8");
  return 1;
}

static struct place one_integer(struct plan *plan, int32_t value) {
  static const int64_t one[1] = {1};
  return plan_values(plan, plan_desc(plan, 1, one, dnnl_s32, "nchw"), &value);
}

static struct place multipliers(struct plan *plan, const struct quantized *q) {
  const int64_t count = q->w->quantization->count;
  int64_t shape[DNNL_MAX_NDIMS];
  for (int i = 0; i < q->rank; i++) shape[i] = i == q->axis ? count : 1;
  const_dnnl_memory_desc_t desc = plan_desc(plan, q->rank, shape, dnnl_f32, "nchw");
  float *values = malloc((size_t)count * sizeof *values);
  struct place place = {PLACE_NONE, 0, 0, NULL};
  if (values) {
    for (int64_t i = 0; i < count; i++) values[i] = quantized_multiplier(q->x, q->w, q->y, i);
    place = plan_values(plan, desc, values);
  } else {
    plan_refuse(plan, KP_NO_MEMORY, "scales", "memory for them");
  }
  free(values);
  return place;
}

int quantized_read(struct plan *plan, int rank, int axis, struct quantized *q) {
  const kp_problem *problem = plan->problem;
  const dnnl_cpu_isa_t isa = plan->dnnl->isa, needed = dnnl_cpu_isa_avx512_core_vnni;
  *q = (struct quantized){.x = &problem->inputs[0],
                          .w = &problem->inputs[1],
                          .y = problem->outputs,
                          .rank = rank,
                          .axis = axis};
  /* Without it oneDNN adds pairs of products in 16 bits, which saturate. */
  if ((isa & needed) != needed)
    return plan_refuse(plan, KP_NO_CPU_FEATURE, "processor", "AVX-512 VNNI for exact sums");
  if (!read_zero(plan, q)) return 0;
  const int32_t x_zero = quantized_zero(q->x, 0), y_zero = quantized_zero(q->y, 0);
  const quantized_range full = quantized_dtype_range(q->y), range = quantized_output_range(problem);
  q->corrects = x_zero != 0 || kp_is_dtype(q->x, kDLInt, 8);
  q->rounds = y_zero != 0;
  q->bounds = range.low > full.low || range.high < full.high;
  q->multipliers = multipliers(plan, q);
  if (x_zero) q->x_zero_place = one_integer(plan, x_zero);
  if (q->w_zero) q->w_zero_place = one_integer(plan, q->w_zero);
  if (y_zero) q->y_zero_place = one_integer(plan, y_zero);
  return q->multipliers.kind && (!x_zero || q->x_zero_place.kind) &&
         (!q->w_zero || q->w_zero_place.kind) && (!y_zero || q->y_zero_place.kind);
}

/* The steps after the sums; the zero point is added behind them. */
static int append_steps(struct plan *plan, const struct quantized *q, dnnl_post_ops_t operations) {
  const struct library *dnnl = plan->dnnl;
  const int32_t zero = quantized_zero(q->y, 0);
  const quantized_range range = quantized_output_range(plan->problem);
  return dnnl->post_ops_append_binary(operations, dnnl_binary_mul, q->multipliers.desc) ==
             dnnl_success &&
         (!q->rounds ||
          dnnl->post_ops_append_eltwise(operations, dnnl_eltwise_round, 0, 0) == dnnl_success) &&
         (!q->bounds ||
          dnnl->post_ops_append_eltwise(operations, dnnl_eltwise_clip, (float)(range.low - zero),
                                        (float)(range.high - zero)) == dnnl_success);
}

static int set_zero(struct plan *plan, dnnl_primitive_attr_t attributes, struct place place,
                    int argument) {
  return place.kind == PLACE_NONE ||
         plan->dnnl->primitive_attr_set_zero_points_mask(attributes, argument, 0) == dnnl_success;
}

dnnl_primitive_attr_t quantized_attributes(struct plan *plan, const struct quantized *q) {
  const struct library *dnnl = plan->dnnl;
  dnnl_primitive_attr_t attributes = plan_attributes(plan);
  if (!attributes) return NULL;
  dnnl_post_ops_t operations = NULL;
  const int made = dnnl->post_ops_create(&operations) == dnnl_success &&
                   append_steps(plan, q, operations) &&
                   set_zero(plan, attributes, q->x_zero_place, DNNL_ARG_SRC) &&
                   set_zero(plan, attributes, q->w_zero_place, DNNL_ARG_WEIGHTS) &&
                   set_zero(plan, attributes, q->y_zero_place, DNNL_ARG_DST) &&
                   dnnl->primitive_attr_set_post_ops(attributes, operations) == dnnl_success;
  if (operations) dnnl->post_ops_destroy(operations);
  if (made) return attributes;
  dnnl->primitive_attr_destroy(attributes);
  plan_refuse(plan, KP_NO_QUANTIZATION, "scales and zero points", "some that oneDNN serves");
  return NULL;
}

static int zero_argument(struct plan *plan, struct place place, int argument) {
  return place.kind == PLACE_NONE ||
         plan_argument(plan, DNNL_ARG_ATTR_ZERO_POINTS | argument, place);
}

int quantized_arguments(struct plan *plan, const struct quantized *q) {
  return plan_argument(plan, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, q->multipliers) &&
         zero_argument(plan, q->x_zero_place, DNNL_ARG_SRC) &&
         zero_argument(plan, q->w_zero_place, DNNL_ARG_WEIGHTS) &&
         zero_argument(plan, q->y_zero_place, DNNL_ARG_DST);
}

struct place quantized_weights(struct plan *plan, const struct quantized *q,
                               const_dnnl_memory_desc_t native, const_dnnl_memory_desc_t wanted) {
  return q->w_flips ? plan_flipped_input(plan, 1, native, wanted)
                    : plan_input(plan, 1, native, wanted);
}

double quantized_efficiency(const struct quantized *q, double products, double vectors,
                            double lanes) {
  /* As long as so many instructions of 64 products. */
  const double last_steps = 5 + 2 * (q->rounds + q->bounds) + 3 * q->corrects;
  return products / 64 / (vectors * (lanes + last_steps));
}
