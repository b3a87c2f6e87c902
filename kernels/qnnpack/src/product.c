#include "product.h"

#include <stdlib.h>
#include <string.h>

#include "cost.h"
#include "quantization.h"

/* Values behind an array that the library reads by vectors. */
enum { ARRAY_SLACK = 16 };

/* Channels whose sums the library keeps on the stack in its kernel of 25 taps. */
enum { MOST_STACKED_CHANNELS = 1 << 14 };

enum { MOST_CHANNELS = 1 << 20 };

/* What a product of a transposed convolution takes beside the best; its last vector of filters is
 * a whole one. */
#define TRANSPOSED_SHARE 2.7

static int64_t taps(const struct product *p) { return window_taps(&p->window); }
static int64_t channels(const struct product *p) { return p->groups * p->outputs; }
static int64_t pixels(const struct product *p) {
  return p->batch * p->window.output[0] * p->window.output[1];
}

static enum product_path path_of(const struct product *p) {
  if (p->is_transposed) return PRODUCT_IMPLICIT_GEMM;
  if ((taps(p) == 9 || taps(p) == 25) && p->groups > 1 && p->inputs == 1 && p->outputs == 1)
    return PRODUCT_DEPTHWISE;
  const struct window *w = &p->window;
  const int moves = w->strides[0] != 1 || w->strides[1] != 1 || w->pads[0] || w->pads[1];
  return taps(p) == 1 && !moves ? PRODUCT_GEMM : PRODUCT_IMPLICIT_GEMM;
}

/* ---- Checks ------------------------------------------------------------------------- */

static int check_constants(struct plan *plan, const char *w_name) {
  const kp_tensor *inputs = plan->problem->inputs;
  if (!kp_is_constant(&inputs[1])) return plan_refuse(plan, KP_NO_CONSTANT, w_name, "constant");
  if (!kp_is_absent(&inputs[2]) && !kp_is_constant(&inputs[2]))
    return plan_refuse(plan, KP_NO_CONSTANT, "bias", "constant");
  return 1;
}

static int check_path(struct plan *plan, const struct product *p) {
  static const char *const windows[] = {
      [PRODUCT_GEMM] = "one tap, no strides, no padding",
      [PRODUCT_IMPLICIT_GEMM] = "what gemm and depthwise don't take",
      [PRODUCT_DEPTHWISE] = "9 or 25 taps, a group for each channel",
  };
  const int wanted = plan->row->parameter;
  if ((int)p->path == wanted) return 1;
  return plan_refuse(plan, KP_NO_SHAPE, "w.shape", windows[wanted]);
}

static int check_sizes(struct plan *plan, const struct product *p) {
  if (p->inputs < 1 || taps(p) < 1)
    return plan_refuse(plan, KP_NO_SHAPE, "x.shape", "channels and taps to sum over");
  if (p->path == PRODUCT_DEPTHWISE && taps(p) == 25) {
    if (p->window.kernel[0] != 5)
      return plan_refuse_number(plan, KP_NO_SHAPE, "w.shape", "25 taps as 5x5",
                                p->window.kernel[0]);
    if (p->groups > MOST_STACKED_CHANNELS)
      return plan_refuse_number(plan, KP_NO_SHAPE, "x.shape", "at most 16384 channels for 5x5",
                                p->groups);
  }
  /* Tiles of 8 pixels at most, each filled up. */
  int64_t addresses = 0;
  if (p->path != PRODUCT_GEMM &&
      (__builtin_mul_overflow(pixels(p) + 8 * p->batch, p->groups, &addresses) ||
       __builtin_mul_overflow(addresses, taps(p), &addresses) || addresses > PLAN_ADDRESSES))
    return plan_refuse(plan, KP_NO_MEMORY, "y.shape", "at most 2^28 addresses of taps");
  return 1;
}

/*
 * The library converts sum * multiplier to int32, which on x86 turns what is too large into the
 * smallest number. Below 1 nothing is too large.
 */
static int check_multipliers(struct plan *plan, const struct product *p) {
  for (int64_t i = 0; i < channels(p); i++)
    if (!(p->multipliers[i] < 1))
      return plan_refuse(plan, KP_NO_QUANTIZATION, "scales", "x * w / y below 1");
  return 1;
}

/* ---- Parts -------------------------------------------------------------------------- */

/* Parts divide groups where there are several, else output channels. */
static int64_t divisible(const struct product *p) { return p->groups > 1 ? p->groups : p->outputs; }

struct slice {
  int64_t groups, outputs; /* of a group */
  int64_t x_channel, y_channel;
};

static struct slice slice_of(const struct plan *plan, const struct product *p, int part) {
  const int64_t first = plan_first(plan, divisible(p), p->block, part);
  const int64_t count = plan_first(plan, divisible(p), p->block, part + 1) - first;
  return p->groups > 1 ? (struct slice){count, p->outputs, first * p->inputs, first * p->outputs}
                       : (struct slice){1, count, 0, first};
}

static void divide(struct plan *plan, struct product *p) {
  /* What a product takes beside the best; the last vector of a tap's channels is a whole one. */
  static const double shares[] = {
      [PRODUCT_GEMM] = 1, [PRODUCT_IMPLICIT_GEMM] = 1, [PRODUCT_DEPTHWISE] = 1.6};
  const double share = p->is_transposed ? TRANSPOSED_SHARE : shares[p->path];
  const int64_t columns = p->is_transposed ? (p->outputs + 3) / 4 * 4 : p->outputs;
  const double outputs = (double)pixels(p) * (double)(p->groups * columns);
  const int64_t values = p->path == PRODUCT_DEPTHWISE ? 1 : (p->inputs + 3) / 4 * 4;
  /* A vector of channels; groups of several channels aren't divided. */
  p->block = p->groups > 1 && p->inputs * p->outputs > 1 ? 1 : PLAN_VECTOR;
  cost_divide(plan, (divisible(p) + p->block - 1) / p->block,
              share * outputs * (double)(values * taps(p)), outputs);
}

/* ---- Building ----------------------------------------------------------------------- */

static void fill_arrays(const kp_problem *problem, struct product *p) {
  const kp_tensor *x = &problem->inputs[0], *w = &problem->inputs[1], *y = problem->outputs;
  const quantized_range range = quantized_output_range(problem);
  const int is_signed = w->dl.dtype.code == kDLInt;
  p->x_zero = (uint8_t)quantized_zero(x, 0);
  p->y_zero = (uint8_t)quantized_zero(y, 0);
  p->y_low = (uint8_t)range.low;
  p->y_high = (uint8_t)range.high;
  p->w_flip = is_signed ? 0x80 : 0;
  p->has_bias = !kp_is_absent(&problem->inputs[2]);
  for (int64_t i = 0; i < channels(p); i++) {
    const int64_t scale = p->is_transposed ? i % p->outputs : i; /* groups share theirs */
    p->multipliers[i] = quantized_multiplier(x, w, y, scale);
    p->w_zeros[i] = (uint8_t)(quantized_zero(w, scale) + (is_signed ? 128 : 0));
  }
}

int product_build(struct plan *plan, const struct product *sizes, const char *w_name) {
  if (!check_constants(plan, w_name)) return 0;
  if (channels(sizes) > MOST_CHANNELS)
    return plan_refuse_number(plan, KP_NO_MEMORY, "y.shape", "at most 2^20 channels",
                              channels(sizes));
  const size_t count = (size_t)channels(sizes) + ARRAY_SLACK;
  struct product *p = calloc(1, sizeof *p + count * (sizeof(float) + sizeof(uint8_t)));
  if (!p) return plan_refuse(plan, KP_NO_MEMORY, "memory", "enough for the multipliers");
  plan->own = p;
  *p = *sizes;
  p->multipliers = (float *)(p + 1);
  p->w_zeros = (uint8_t *)(p->multipliers + count);
  p->path = path_of(p);
  fill_arrays(plan->problem, p);
  if (!check_path(plan, p) || !check_sizes(plan, p) || !check_multipliers(plan, p)) return 0;
  plan->binds_constants = 1;
  plan->x.fill = p->x_zero;
  plan->x.is_used |= (p->path == PRODUCT_DEPTHWISE ? p->groups : p->inputs) < PLAN_VECTOR;
  divide(plan, p);
  return 1;
}

/* ---- The library's operators -------------------------------------------------------- */

/* A part's weights as uint8: in each group [output][tap][input], transposed [input][tap][output].
 */
static uint8_t *copy_weights(const struct product *p, const struct slice *s, const uint8_t *w) {
  const int64_t group = s->outputs * taps(p) * p->inputs;
  const int64_t to_output = p->is_transposed ? 1 : taps(p) * p->inputs;
  const int64_t to_tap = p->is_transposed ? s->outputs : p->inputs;
  const int64_t to_input = p->is_transposed ? taps(p) * s->outputs : 1;
  uint8_t *copy = malloc((size_t)(s->groups * group));
  if (!copy) return NULL;
  w += s->x_channel / p->inputs * p->w_group + (p->groups > 1 ? 0 : s->y_channel) * p->w_output;
  for (int64_t g = 0; g < s->groups; g++)
    for (int64_t o = 0; o < s->outputs; o++)
      for (int64_t t = 0; t < taps(p); t++) {
        const uint8_t *from = w + g * p->w_group + o * p->w_output + t * p->w_tap;
        uint8_t *to = copy + g * group + o * to_output + t * to_tap;
        for (int64_t i = 0; i < p->inputs; i++) to[i * to_input] = from[i * p->w_input] ^ p->w_flip;
      }
  return copy;
}

static int32_t *copy_bias(const struct product *p, const struct slice *s, const int32_t *bias) {
  const size_t count = (size_t)(s->groups * s->outputs);
  int32_t *copy = calloc(count, sizeof *copy);
  if (copy && p->has_bias) memcpy(copy, bias + s->y_channel, count * sizeof *copy);
  return copy;
}

static qnnpack_status create(const struct library *library, const struct product *p,
                             const struct slice *s, const uint8_t *w, const int32_t *bias,
                             qnnpack_operator **made) {
  const struct window *v = &p->window;
  const uint8_t *zeros = p->w_zeros + s->y_channel;
  const float *multipliers = p->multipliers + s->y_channel;
  if (p->is_transposed)
    return library->create_deconvolution2d_nhwc_q8(
        (uint32_t)v->pads[0], (uint32_t)v->pads[1], (uint32_t)p->adjustment[0],
        (uint32_t)p->adjustment[1], (uint32_t)v->kernel[0], (uint32_t)v->kernel[1],
        (uint32_t)v->strides[0], (uint32_t)v->strides[1], (uint32_t)v->dilations[0],
        (uint32_t)v->dilations[1], (uint32_t)s->groups, (size_t)p->inputs, (size_t)s->outputs,
        p->x_zero, zeros, w, bias, p->y_zero, p->y_low, p->y_high, 0, multipliers, made);
  return library->create_convolution2d_nhwc_q8(
      (uint32_t)v->pads[0], (uint32_t)v->pads[1], (uint32_t)v->kernel[0], (uint32_t)v->kernel[1],
      (uint32_t)v->strides[0], (uint32_t)v->strides[1], (uint32_t)v->dilations[0],
      (uint32_t)v->dilations[1], (uint32_t)s->groups, (size_t)p->inputs, (size_t)s->outputs,
      p->x_zero, zeros, w, bias, p->y_zero, p->y_low, p->y_high, 0, multipliers, true, made);
}

qnnpack_status product_create(const struct plan *plan, int part, const void *const *constants,
                              qnnpack_operator **made) {
  const struct product *p = plan->own;
  const struct slice s = slice_of(plan, p, part);
  uint8_t *w = copy_weights(p, &s, constants[1]);
  int32_t *bias = copy_bias(p, &s, constants[2]);
  const qnnpack_status status =
      w && bias ? create(plan->library, p, &s, w, bias, made) : QNNPACK_OUT_OF_MEMORY;
  free(w);
  free(bias);
  return status;
}

qnnpack_status product_setup(const struct plan *plan, int part, qnnpack_operator *made,
                             const struct places *places) {
  const struct product *p = plan->own;
  const struct slice s = slice_of(plan, p, part);
  return (p->is_transposed ? plan->library->setup_deconvolution2d_nhwc_q8
                           : plan->library->setup_convolution2d_nhwc_q8)(
      made, (size_t)p->batch, (size_t)p->window.extent[0], (size_t)p->window.extent[1],
      places->x + s.x_channel, (size_t)(p->groups * p->inputs), places->y + s.y_channel,
      (size_t)channels(p), NULL);
}
