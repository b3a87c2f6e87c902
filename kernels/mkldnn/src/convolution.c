/*
 * conv2d, qconv2d and conv_transpose2d. `direct` works in the layouts that it is
 * given ("any": oneDNN's choice); `staged` reorders into the layouts that oneDNN
 * likes best and back, inside its scratch space.
 */
#include <string.h>

#include "cost.h"
#include "epilogue.h"
#include "quantized.h"
#include "tensor.h"

enum { STAGED = 1, TRANSPOSED = 2 };

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
  dnnl_data_type_t w_dtype, bias_dtype, y_dtype;
  struct window window;
  struct quantized quantized; /* of qconv2d */
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

/* Of qconv2d the operator's rule has checked them. */
static int read_dtypes(struct plan *plan, struct convolution *c) {
  c->w_dtype = c->bias_dtype = c->y_dtype = plan->dtype;
  if (plan_is_quantized(plan)) {
    c->w_dtype = dnnl_s8;
    c->bias_dtype = dnnl_s32;
    c->y_dtype = tensor_dtype(c->y);
    return quantized_read(plan, 4, 1, &c->quantized);
  }
  if (tensor_dtype(c->w) != plan->dtype || tensor_dtype(c->y) != plan->dtype)
    return plan_refuse(plan, KP_NO_DTYPE, "w.dtype", "x.dtype");
  if (c->bias && (tensor_dtype(c->bias) != plan->dtype || c->bias->dl.ndim != 1))
    return plan_refuse(plan, KP_NO_DTYPE, "bias.dtype", "x.dtype");
  return 1;
}

static int read_problem(struct plan *plan, struct convolution *c) {
  const kp_problem *problem = plan->problem;
  if (problem->num_operator_inputs < 2)
    return plan_refuse_number(plan, KP_NO_SHAPE, "number of inputs", ">= 2",
                              problem->num_operator_inputs);
  c->transposed = plan->row->parameter & TRANSPOSED;
  c->x = &problem->inputs[0];
  c->w = &problem->inputs[1];
  c->bias = problem->num_operator_inputs > 2 && !kp_is_absent(&problem->inputs[2])
                ? &problem->inputs[2]
                : NULL;
  c->y = problem->outputs;
  if (c->x->dl.ndim != 4) return plan_refuse_number(plan, KP_NO_RANK, "x.rank", "4", c->x->dl.ndim);
  if (c->w->dl.ndim != 4) return plan_refuse_number(plan, KP_NO_RANK, "w.rank", "4", c->w->dl.ndim);
  if (c->y->dl.ndim != 4) return plan_refuse_number(plan, KP_NO_RANK, "y.rank", "4", c->y->dl.ndim);
  if (!read_dtypes(plan, c)) return 0;
  if (!tensor_has_layout(c->w, "nchw") && !tensor_is_any(c->w))
    return plan_refuse(plan, KP_NO_LAYOUT, "w.layout", "nchw");
  if (!read_window(plan, &c->window) || !check_shapes(plan, c)) return 0;
  view_weights(c);
  return 1;
}

/* The primitive for c's layouts, or NULL after a refusal. */
static dnnl_primitive_desc_t make_primitive(struct plan *plan, const struct convolution *c,
                                            int in_place) {
  const struct library *dnnl = plan->dnnl;
  const struct window *window = &c->window;
  const struct output_view view = {4, c->y->dl.shape, c->y_layout, 1, NULL, 0};
  const_dnnl_memory_desc_t x = plan_desc(plan, 4, c->x->dl.shape, plan->dtype, c->x_layout);
  const_dnnl_memory_desc_t w = plan_desc_any(plan, c->w_rank, c->w_shape, c->w_dtype);
  const_dnnl_memory_desc_t bias =
      c->bias ? plan_desc(plan, 1, c->bias->dl.shape, c->bias_dtype, "nchw") : NULL;
  const_dnnl_memory_desc_t y = plan_desc(plan, 4, c->y->dl.shape, c->y_dtype, c->y_layout);
  if (!x || !w || !y) return NULL;
  dnnl_primitive_attr_t attributes = plan_is_quantized(plan)
                                         ? quantized_attributes(plan, &c->quantized)
                                         : epilogue_attributes(plan, &view, in_place);
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

/* Where the primitive's arguments lie. */
struct places {
  struct place x, w, bias, y;
  struct epilogue_places operands;
};

static int add_step(struct plan *plan, const struct convolution *c, dnnl_primitive_desc_t primitive,
                    const struct places *places, int in_place) {
  return plan_step(plan, primitive) && plan_argument(plan, DNNL_ARG_SRC, places->x) &&
         plan_argument(plan, DNNL_ARG_WEIGHTS, places->w) &&
         (!places->bias.desc || plan_argument(plan, DNNL_ARG_BIAS, places->bias)) &&
         (plan_is_quantized(plan) ? quantized_arguments(plan, &c->quantized)
                                  : epilogue_arguments(plan, &places->operands, in_place)) &&
         plan_argument(plan, DNNL_ARG_DST, places->y);
}

/* Whether `other` may take `primitive`'s place: the same layouts, and no reference code. */
static int is_alike(const struct plan *plan, dnnl_primitive_desc_t primitive,
                    dnnl_primitive_desc_t other) {
  static const dnnl_query_t descs[] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md};
  for (int i = 0; i < 3; i++)
    if (!plan->dnnl->memory_desc_equal(plan_query(primitive, plan, descs[i], 0),
                                       plan_query(other, plan, descs[i], 0)))
      return 0;
  return strncmp(plan_implementation(plan, other), "ref", 3) != 0;
}

/*
 * A sum that is added in the output's own memory spares reading it from
 * elsewhere: where the residual may be overwritten, a second primitive serves
 * the runs in which it is.
 */
static int add_in_place(struct plan *plan, const struct convolution *c,
                        dnnl_primitive_desc_t primitive, const struct places *places) {
  const int in_place = epilogue_in_place(plan->problem);
  if (in_place < 0 || places->y.kind != PLACE_BUFFER) return 1;
  const uint32_t shared = (uint32_t)plan->problem->epilogues[in_place].input;
  for (uint32_t i = 0; i < places->operands.count; i++)
    if (places->operands.arguments[i].place.kind != PLACE_BUFFER) return 1;
  dnnl_primitive_desc_t other = make_primitive(plan, c, in_place);
  if (!other || !is_alike(plan, primitive, other)) return 1;
  plan_step_when(plan, STEP_NOT_IN_PLACE, shared);
  if (!add_step(plan, c, other, places, in_place)) return 0;
  plan_step_when(plan, STEP_IN_PLACE, shared);
  plan->answer->may_overwrite = UINT64_C(1) << shared;
  return 1;
}

/* How much of the last block of `block` channels is in use. */
static double filled(int64_t channels, int64_t block) {
  return (double)channels / (double)((channels + block - 1) / block * block);
}

/* Blocks of 8 go with 256-bit vectors, which are as fast where wider ones are done in halves. */
static double narrow_share(const struct plan *plan) {
  const int wide = (plan->dnnl->isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
  return !wide ? 1 : __builtin_cpu_is("amd") ? 0.92 : 0.5;
}

/* The share of the processor's peak, as measured, by implementation and shape. */
static double efficiency_of(struct plan *plan, const struct convolution *c,
                            dnnl_primitive_desc_t primitive) {
  const char *name = plan_implementation(plan, primitive);
  const int64_t *w = c->w->dl.shape, groups = c->window.groups;
  const int64_t inputs = c->x->dl.shape[1] / groups, outputs = c->y->dl.shape[1] / groups;
  const double depth = (double)(inputs * w[2] * w[3]);
  const char *found =
      plan_layout_name(plan, c->y, plan_query(primitive, plan, dnnl_query_dst_md, 0));
  const char *layout = found ? found : "";
  const int by_pixel = strcmp(layout, "nhwc") == 0;
  if (cost_is_reference(name)) return 1e-4;
  if (c->transposed && !by_pixel) return 0.04;
  /* A matrix product for each group after copying windows: good at large matrices only. */
  if (strstr(name, "gemm")) return depth < 700 ? depth / 1000 : 0.7;
  if (inputs == 1 && outputs == 1) return (depth < 16 ? 0.28 : 0.42) * (by_pixel ? 0.75 : 1);
  if (groups > 1) return inputs % 16 || outputs % 16 ? 0.35 : 0.7;
  if (strcmp(layout, "nChw8c") == 0)
    return 0.9 * narrow_share(plan) * filled(inputs, 8) * filled(outputs, 8);
  if (by_pixel) return (depth < 32 ? 0.75 : 0.9) * filled(outputs, 16);
  return 0.9 * (inputs < 16 ? 1 : filled(inputs, 16)) * filled(outputs, 16);
}

static double blocks(int64_t extent, int64_t block) {
  return (double)((extent + block - 1) / block);
}

/* Likewise of qconv2d. */
static double quantized_efficiency_of(struct plan *plan, const struct convolution *c,
                                      dnnl_primitive_desc_t primitive) {
  if (cost_is_reference(plan_implementation(plan, primitive))) return 1e-4;
  const int64_t *w = c->w->dl.shape, *y = c->y->dl.shape, groups = c->window.groups;
  const double taps = (double)(w[2] * w[3]), pixels = (double)(y[0] * y[2] * y[3]);
  const double products = flops_of(c) / 2;
  /* A vector of channels at a time, in lanes that hold one tap each. */
  if (w[1] == 1 && y[1] == groups)
    return quantized_efficiency(&c->quantized, products, pixels * blocks(groups, 16),
                                4 + 1.5 * taps + 6 * c->quantized.corrects);
  /* Rows of taps above and below the image are skipped, or take correcting. */
  const double outside = (double)(c->window.before[0] + c->window.after[0]) / 2;
  const double share =
      outside / (double)(w[2] * y[2]) < 0.2 ? outside / (double)(w[2] * y[2]) : 0.2;
  return quantized_efficiency(
      &c->quantized, products, pixels * (double)groups * blocks(y[1] / groups, 16),
      taps * blocks(w[1], 4) *
          (c->quantized.corrects && outside > 0 ? 1.05 + 5 * share : 1 - share));
}

static int plan_primitive(struct plan *plan, const struct convolution *c,
                          dnnl_primitive_desc_t primitive) {
  const struct output_view view = {4, c->y->dl.shape, c->y_layout, 1, NULL, 0};
  const_dnnl_memory_desc_t x = plan_query(primitive, plan, dnnl_query_src_md, 0);
  const_dnnl_memory_desc_t w = plan_query(primitive, plan, dnnl_query_weights_md, 0);
  const_dnnl_memory_desc_t y = plan_query(primitive, plan, dnnl_query_dst_md, 0);
  const_dnnl_memory_desc_t own_x = native_desc(plan, 0, c->x, x);
  const_dnnl_memory_desc_t own_y = native_desc(plan, plan->num_inputs, c->y, y);
  const_dnnl_memory_desc_t own_w =
      plan_desc_strided(plan, c->w_rank, c->w_shape, c->w_dtype, c->w_strides);
  if (!own_x || !own_y || !own_w) return 0;
  plan_answer_layout(plan, 1, "nchw");
  struct places places = {.x = plan_input(plan, 0, own_x, x),
                          .w = plan_is_quantized(plan)
                                   ? quantized_weights(plan, &c->quantized, own_w, w)
                                   : plan_input(plan, 1, own_w, w),
                          .y = plan_output(plan, own_y, y)};
  if (c->bias) {
    plan_answer_layout(plan, 2, "nchw");
    places.bias = plan_buffer(2, plan_query(primitive, plan, dnnl_query_weights_md, 1));
  }
  if (plan->row->parameter & STAGED && places.x.kind == PLACE_BUFFER &&
      places.y.kind == PLACE_BUFFER)
    return plan_refuse(plan, KP_NO_LAYOUT, "layouts", "some that oneDNN would rather reorder");
  if ((!plan_is_quantized(plan) && !epilogue_inputs(plan, &view, primitive, &places.operands)) ||
      !add_step(plan, c, primitive, &places, -1) || !add_in_place(plan, c, primitive, &places) ||
      !plan_finish_output(plan, places.y, own_y))
    return 0;
  plan_finish(plan, flops_of(c),
              plan_is_quantized(plan) ? quantized_efficiency_of(plan, c, primitive)
                                      : efficiency_of(plan, c, primitive));
  return 1;
}

/* Whether blocks of 8 channels are worth more than oneDNN's own choice. */
static int prefers_narrow(const struct plan *plan, const struct convolution *c) {
  const int64_t inputs = c->x->dl.shape[1], outputs = c->y->dl.shape[1];
  return plan->dtype == dnnl_f32 && c->window.groups == 1 && inputs % 8 == 0 && outputs % 8 == 0 &&
         filled(outputs, 16) < 0.9 * narrow_share(plan);
}

static int has_name(struct plan *plan, const kp_tensor *tensor, const_dnnl_memory_desc_t desc) {
  return !tensor_is_any(tensor) || plan_layout_name(plan, tensor, desc) != NULL;
}

/* Whether channels first and last are the same bytes. */
static int is_either(const kp_tensor *t) {
  return t->dl.shape[1] == 1 || (t->dl.shape[2] == 1 && t->dl.shape[3] == 1);
}

/* An image that is both channels first and last goes by the other image's name, of which oneDNN's
 * fast code needs two alike. */
static void name_alike(struct convolution *c) {
  const int x_last = strcmp(c->x_layout, "nhwc") == 0, y_last = strcmp(c->y_layout, "nhwc") == 0;
  if (y_last && strcmp(c->x_layout, "nchw") == 0 && is_either(c->x)) c->x_layout = "nhwc";
  if (x_last && strcmp(c->y_layout, "nchw") == 0 && is_either(c->y)) c->y_layout = "nhwc";
}

/*
 * Makes the primitive. Where the caller leaves the layouts open they are
 * oneDNN's choice, unless a better one is known or oneDNN's has no name.
 */
static dnnl_primitive_desc_t choose(struct plan *plan, struct convolution *c) {
  const int staged = plan->row->parameter & STAGED;
  const char *operand = epilogue_layout(plan->problem);
  c->x_layout = staged ? "any" : c->x->layout;
  c->y_layout = staged ? "any" : tensor_is_any(c->y) ? operand : c->y->layout;
  name_alike(c);
  if (strcmp(c->x_layout, "any") == 0 && strcmp(c->y_layout, "any") == 0 &&
      prefers_narrow(plan, c)) {
    c->x_layout = c->y_layout = "nChw8c";
    dnnl_primitive_desc_t primitive = make_primitive(plan, c, -1);
    if (primitive && !cost_is_reference(plan_implementation(plan, primitive))) return primitive;
    c->x_layout = c->y_layout = "any";
  }
  dnnl_primitive_desc_t primitive = make_primitive(plan, c, -1);
  if (!primitive) return NULL;
  const int named_x = has_name(plan, c->x, plan_query(primitive, plan, dnnl_query_src_md, 0));
  const int named_y = has_name(plan, c->y, plan_query(primitive, plan, dnnl_query_dst_md, 0));
  if (named_x && named_y) return primitive;
  if (!named_x) c->x_layout = "nhwc";
  if (!named_y) c->y_layout = "nhwc";
  return make_primitive(plan, c, -1);
}

static int build(struct plan *plan) {
  struct convolution c;
  if (!read_problem(plan, &c)) return 0;
  dnnl_primitive_desc_t primitive = choose(plan, &c);
  return primitive && plan_primitive(plan, &c, primitive);
}

#define ROWS(operator_name, transposed)                                      \
  {operator_name, "direct", FLOATS, 0, build, transposed, SOURCE}, {         \
    operator_name, "staged", FLOATS, 0, build, (transposed) | STAGED, SOURCE \
  }
#define QUANTIZED_ROW(algorithm, parameter) \
  {"qconv2d", algorithm, S8 | U8 | QUANTIZED, KP_KERNEL_DETERMINISTIC, build, parameter, SOURCE}

const struct kernel_row convolution_kernels[] = {ROWS("conv2d", 0),
                                                 ROWS("conv_transpose2d", TRANSPOSED),
                                                 QUANTIZED_ROW("direct", 0),
                                                 QUANTIZED_ROW("staged", STAGED),
                                                 {0}};
