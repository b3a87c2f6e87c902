/*
 * conv2d and conv_transpose2d. `direct` works in the layouts that it is given
 * ("any": oneDNN's choice); `staged` reorders into the layouts that oneDNN
 * likes best and back, inside its scratch space.
 */
#include <string.h>

#include "epilogue.h"
#include "tensor.h"

enum { STAGED = 1 };

struct window {
  dnnl_dims_t strides, dilations, before, after;
  int64_t groups;
};

struct convolution {
  const kp_tensor *x, *w, *bias, *y;
  const char *x_layout, *y_layout; /* what the primitive is asked for */
  int transposed;
  int w_rank;
  dnnl_dims_t w_shape, w_strides; /* oneDNN's logical weights over the contract's bytes */
  struct window window;
};

static int read_window(struct plan *plan, struct window *window) {
  const kp_problem *problem = plan->problem;
  window->groups = kp_integer(problem, "groups", 0, 1);
  for (uint32_t i = 0; i < 2; i++) {
    window->strides[i] = kp_integer(problem, "strides", i, 1);
    window->dilations[i] = kp_integer(problem, "dilations", i, 1) - 1;
    window->before[i] = kp_integer(problem, "pads", i, 0);
    window->after[i] = kp_integer(problem, "pads", i + 2, 0);
    if (window->strides[i] < 1 || window->strides[i] > INT16_MAX)
      return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "strides", "1 to 32767", window->strides[i]);
    if (window->dilations[i] < 0 || window->dilations[i] > INT16_MAX)
      return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "dilations", "1 to 32768",
                                window->dilations[i] + 1);
    for (int end = 0; end < 2; end++) {
      const int64_t pad = end ? window->after[i] : window->before[i];
      if (pad < 0 || pad > INT16_MAX)
        return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "pads", "0 to 32767", pad);
    }
  }
  return 1;
}

/*
 * conv2d's weights are (O, I/G, h, w), conv_transpose2d's (I, O/G, h, w);
 * oneDNN's are ([G,] O/G, I/G, h, w) for both.
 */
static void view_weights(struct convolution *c) {
  const int64_t *shape = c->w->dl.shape, groups = c->window.groups;
  const int64_t area = shape[2] * shape[3];
  const int64_t first = shape[0] / groups, second = shape[1];
  const int64_t extents[5] = {groups, c->transposed ? second : first,
                              c->transposed ? first : second, shape[2], shape[3]};
  const int64_t strides[5] = {first * second * area, c->transposed ? area : second * area,
                              c->transposed ? second * area : area, shape[3], 1};
  const int skip = groups == 1;
  c->w_rank = 5 - skip;
  memcpy(c->w_shape, extents + skip, sizeof *extents * (size_t)c->w_rank);
  memcpy(c->w_strides, strides + skip, sizeof *strides * (size_t)c->w_rank);
}

static int check_shapes(struct plan *plan, const struct convolution *c) {
  const int64_t groups = c->window.groups;
  const int64_t inputs = c->x->dl.shape[1], outputs = c->y->dl.shape[1];
  const int64_t *w = c->w->dl.shape;
  if (groups < 1 || inputs % groups || outputs % groups)
    return plan_refuse_number(plan, KP_NO_ATTRIBUTE, "groups", "a divisor of the channels", groups);
  if (c->transposed ? w[0] != inputs || w[1] * groups != outputs
                    : w[0] != outputs || w[1] * groups != inputs)
    return plan_refuse(plan, KP_NO_SHAPE, "w.shape", "channels that fit x, y and groups");
  return 1;
}

static int read_problem(struct plan *plan, struct convolution *c) {
  const kp_problem *problem = plan->problem;
  if (problem->num_operator_inputs < 2)
    return plan_refuse_number(plan, KP_NO_SHAPE, "number of inputs", ">= 2",
                              problem->num_operator_inputs);
  c->transposed = plan->row->parameter & 2;
  c->x = &problem->inputs[0];
  c->w = &problem->inputs[1];
  c->bias = problem->num_operator_inputs > 2 && !kp_is_absent(&problem->inputs[2])
                ? &problem->inputs[2]
                : NULL;
  c->y = problem->outputs;
  if (c->x->dl.ndim != 4) return plan_refuse_number(plan, KP_NO_RANK, "x.rank", "4", c->x->dl.ndim);
  if (c->w->dl.ndim != 4) return plan_refuse_number(plan, KP_NO_RANK, "w.rank", "4", c->w->dl.ndim);
  if (c->y->dl.ndim != 4) return plan_refuse_number(plan, KP_NO_RANK, "y.rank", "4", c->y->dl.ndim);
  if (tensor_dtype(c->w) != plan->dtype || tensor_dtype(c->y) != plan->dtype)
    return plan_refuse(plan, KP_NO_DTYPE, "w.dtype", "x.dtype");
  if (c->bias && (tensor_dtype(c->bias) != plan->dtype || c->bias->dl.ndim != 1))
    return plan_refuse(plan, KP_NO_DTYPE, "bias.dtype", "x.dtype");
  if (!tensor_has_layout(c->w, "nchw") && !tensor_is_any(c->w))
    return plan_refuse(plan, KP_NO_LAYOUT, "w.layout", "nchw");
  if (!read_window(plan, &c->window) || !check_shapes(plan, c)) return 0;
  view_weights(c);
  return 1;
}

/* The primitive for c's layouts, or NULL after a refusal. */
static dnnl_primitive_desc_t make_primitive(struct plan *plan, const struct convolution *c) {
  const struct library *dnnl = plan->dnnl;
  const struct window *window = &c->window;
  const struct output_view view = {4, c->y->dl.shape, c->y_layout};
  const_dnnl_memory_desc_t x = plan_desc(plan, 4, c->x->dl.shape, plan->dtype, c->x_layout);
  const_dnnl_memory_desc_t w = plan_desc_any(plan, c->w_rank, c->w_shape, plan->dtype);
  const_dnnl_memory_desc_t bias =
      c->bias ? plan_desc(plan, 1, c->bias->dl.shape, plan->dtype, "nchw") : NULL;
  const_dnnl_memory_desc_t y = plan_desc(plan, 4, c->y->dl.shape, plan->dtype, c->y_layout);
  if (!x || !w || !y) return NULL;
  dnnl_primitive_attr_t attributes = epilogue_attributes(plan, &view);
  if (!attributes) return NULL;
  dnnl_primitive_desc_t primitive = NULL;
  const dnnl_status_t status =
      c->transposed ? dnnl->deconvolution_forward_primitive_desc_create(
                          &primitive, plan->engine, dnnl_forward_inference,
                          dnnl_deconvolution_direct, x, w, bias, y, window->strides,
                          window->dilations, window->before, window->after, attributes)
                    : dnnl->convolution_forward_primitive_desc_create(
                          &primitive, plan->engine, dnnl_forward_inference, dnnl_convolution_direct,
                          x, w, bias, y, window->strides, window->dilations, window->before,
                          window->after, attributes);
  dnnl->primitive_attr_destroy(attributes);
  const char *what = c->transposed ? "deconvolution" : "convolution";
  return plan_keep(plan, status, primitive, what) ? primitive : NULL;
}

/* The tensor's own layout; where the kernel may choose, the primitive's, which it answers. */
static const_dnnl_memory_desc_t native_desc(struct plan *plan, uint32_t index,
                                            const kp_tensor *tensor,
                                            const_dnnl_memory_desc_t chosen) {
  if (!tensor_is_any(tensor)) return plan_tensor_desc(plan, tensor);
  const char *layout = plan_layout_name(plan, tensor, chosen);
  if (!layout) {
    plan_refuse(plan, KP_NO_LAYOUT, "layout that oneDNN chooses", "nchw, nhwc, nChw16c or nChw8c");
    return NULL;
  }
  plan_answer_layout(plan, index, layout);
  return chosen;
}

static double flops_of(const struct convolution *c) {
  const kp_tensor *pixels = c->transposed ? c->x : c->y;
  const int64_t *w = c->w->dl.shape;
  return 2.0 * (double)kp_elements(pixels) * (double)(w[1] * w[2] * w[3]);
}

static int plan_primitive(struct plan *plan, const struct convolution *c,
                          dnnl_primitive_desc_t primitive) {
  const struct output_view view = {4, c->y->dl.shape, c->y_layout};
  const_dnnl_memory_desc_t x = plan_query(primitive, plan, dnnl_query_src_md, 0);
  const_dnnl_memory_desc_t w = plan_query(primitive, plan, dnnl_query_weights_md, 0);
  const_dnnl_memory_desc_t y = plan_query(primitive, plan, dnnl_query_dst_md, 0);
  const_dnnl_memory_desc_t own_x = native_desc(plan, 0, c->x, x);
  const_dnnl_memory_desc_t own_y = native_desc(plan, plan->num_inputs, c->y, y);
  const_dnnl_memory_desc_t own_w =
      plan_desc_strided(plan, c->w_rank, c->w_shape, plan->dtype, c->w_strides);
  if (!own_x || !own_y || !own_w) return 0;
  plan_answer_layout(plan, 1, "nchw");
  const struct place source = plan_input(plan, 0, own_x, x);
  const struct place weights = plan_input(plan, 1, own_w, w);
  const struct place result = plan_output(plan, own_y, y);
  if (plan->row->parameter & STAGED && source.kind == PLACE_BUFFER && result.kind == PLACE_BUFFER)
    return plan_refuse(plan, KP_NO_LAYOUT, "layouts", "some that oneDNN would rather reorder");
  struct epilogue_places operands;
  if (!epilogue_inputs(plan, &view, primitive, &operands) || !plan_step(plan, primitive) ||
      !plan_argument(plan, DNNL_ARG_SRC, source) ||
      !plan_argument(plan, DNNL_ARG_WEIGHTS, weights) || !epilogue_arguments(plan, &operands) ||
      !plan_argument(plan, DNNL_ARG_DST, result))
    return 0;
  if (c->bias) {
    const_dnnl_memory_desc_t bias = plan_query(primitive, plan, dnnl_query_weights_md, 1);
    plan_answer_layout(plan, 2, "nchw");
    if (!plan_argument(plan, DNNL_ARG_BIAS, plan_buffer(2, bias))) return 0;
  }
  if (!plan_finish_output(plan, result, own_y)) return 0;
  plan_finish(plan, flops_of(c), 0.85);
  return 1;
}

/* Where the caller leaves a layout open and oneDNN's choice has no name, nhwc is asked for. */
static int choose_layouts(struct plan *plan, struct convolution *c) {
  const int staged = plan->row->parameter & STAGED;
  const int open_x = tensor_is_any(c->x), open_y = tensor_is_any(c->y);
  c->x_layout = staged ? "any" : c->x->layout;
  c->y_layout = staged ? "any" : c->y->layout;
  if (!staged && open_y) c->y_layout = epilogue_layout(plan->problem);
  if (!open_x && !open_y) return 1;
  dnnl_primitive_desc_t primitive = make_primitive(plan, c);
  if (!primitive) return 0;
  if (open_x && !plan_layout_name(plan, c->x, plan_query(primitive, plan, dnnl_query_src_md, 0)))
    c->x_layout = "nhwc";
  if (open_y && !plan_layout_name(plan, c->y, plan_query(primitive, plan, dnnl_query_dst_md, 0)))
    c->y_layout = "nhwc";
  return 1;
}

static int build(struct plan *plan) {
  struct convolution c;
  if (!read_problem(plan, &c) || !choose_layouts(plan, &c)) return 0;
  dnnl_primitive_desc_t primitive = make_primitive(plan, &c);
  return primitive && plan_primitive(plan, &c, primitive);
}

#define ROWS(operator_name, transposed)                                      \
  {operator_name, "direct", FLOATS, 0, build, transposed, SOURCE}, {         \
    operator_name, "staged", FLOATS, 0, build, (transposed) | STAGED, SOURCE \
  }

const struct kernel_row convolution_kernels[] = {
    ROWS("conv2d", 0), ROWS("conv_transpose2d", 2), {0}};
