/* What the convolutions read of a problem, and what they all check. */
#ifndef PORTABLE_CONV2D_PROBLEM_H
#define PORTABLE_CONV2D_PROBLEM_H

#include <string.h>

#include "epilogue.h"

typedef struct conv2d {
  int64_t batch, channels, height, width;
  int64_t filters, out_height, out_width;
  int64_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  int64_t groups, group_channels, group_filters;
} conv2d;

static inline int64_t conv2d_out_size(const conv2d *s) { return s->out_height * s->out_width; }
static inline int64_t conv2d_in_size(const conv2d *s) { return s->height * s->width; }
static inline int64_t conv2d_taps(const conv2d *s) { return s->kernel_h * s->kernel_w; }

static inline double conv2d_flops(const conv2d *s) {
  return 2.0 * (double)s->batch * (double)conv2d_out_size(s) * (double)s->filters *
         (double)(s->group_channels * conv2d_taps(s));
}

/* Ranks and dtypes, alike for every convolution. Returns 0 where it has refused. */
static inline int conv2d_check_tensors(const kp_problem *problem, storage stored,
                                       kp_answer *answer) {
  static const char *const names[] = {"x", "w", "bias"};
  for (uint32_t i = 0; i < problem->num_inputs + 1; i++) {
    const kp_tensor *t = i < problem->num_inputs ? &problem->inputs[i] : &problem->outputs[0];
    const char *name = i == problem->num_inputs           ? "output"
                       : i < problem->num_operator_inputs ? names[i]
                                                          : "epilogue";
    if (kp_is_absent(t)) continue;
    int rank = i == 2 && i < problem->num_operator_inputs ? 1 : 4;
    if (!storage_is(stored, t))
      kp_refuse(answer, KP_NO_DTYPE, name, "the kernel's dtype");
    else if (t->quantization)
      kp_refuse(answer, KP_NO_QUANTIZATION, name, "none");
    else if (t->dl.ndim != rank)
      kp_refuse_number(answer, KP_NO_RANK, name, rank == 1 ? "1" : "4", t->dl.ndim);
    else
      continue;
    return 0;
  }
  return epilogue_check(problem, answer);
}

/* Sizes that go together and whose products don't overflow. Returns 0 where it has refused. */
static inline int conv2d_check_sizes(const conv2d *s, const int64_t *output, kp_answer *answer) {
  if (output[0] != s->batch || output[1] != s->filters) {
    kp_refuse(answer, KP_NO_SHAPE, "output.shape", "[x's batch, w's filters, ...]");
    return 0;
  }
  if (s->stride_h < 1 || s->stride_w < 1 || s->dilation_h < 1 || s->dilation_w < 1) {
    int strides = s->stride_h < 1 || s->stride_w < 1;
    kp_refuse(answer, KP_NO_ATTRIBUTE, strides ? "strides" : "dilations", ">= 1");
    return 0;
  }
  int64_t outputs = kernel_multiply(kernel_multiply(s->batch, s->filters), conv2d_out_size(s));
  int64_t inputs = kernel_multiply(kernel_multiply(s->batch, s->channels), conv2d_in_size(s));
  int64_t filter = kernel_multiply(s->group_channels, conv2d_taps(s));
  int64_t largest = kernel_multiply(outputs > inputs ? outputs : inputs, filter);
  if (kernel_multiply(largest, 64) == INT64_MAX || s->out_width > INT32_MAX / 2) {
    kp_refuse(answer, KP_NO_MEMORY, "output.shape", "fewer than 2^57 products");
    return 0;
  }
  return 1;
}

/* The sizes of conv2d or conv_transpose2d, whose weights' first two dimensions are
 * [filters, channels / groups] and [channels, filters / groups]. Returns 0 where it has refused. */
static inline int conv2d_read_sizes(const kp_problem *problem, int is_transposed, conv2d *out,
                                    kp_answer *answer) {
  const int64_t *x = problem->inputs[0].dl.shape, *w = problem->inputs[1].dl.shape;
  const int64_t *y = problem->outputs[0].dl.shape;
  conv2d s = {
      .batch = x[0],
      .channels = x[1],
      .height = x[2],
      .width = x[3],
      .out_height = y[2],
      .out_width = y[3],
      .kernel_h = w[2],
      .kernel_w = w[3],
      .stride_h = kp_integer(problem, "strides", 0, 1),
      .stride_w = kp_integer(problem, "strides", 1, 1),
      .pad_top = kp_integer(problem, "pads", 0, 0),
      .pad_left = kp_integer(problem, "pads", 1, 0),
      .dilation_h = kp_integer(problem, "dilations", 0, 1),
      .dilation_w = kp_integer(problem, "dilations", 1, 1),
      .groups = kp_integer(problem, "groups", 0, 1),
  };
  s.filters = is_transposed ? w[1] * s.groups : w[0];
  if (s.groups < 1 || s.channels % s.groups || s.filters % s.groups ||
      (is_transposed ? w[0] != s.channels : w[1] != s.channels / s.groups)) {
    kp_refuse_number(answer, KP_NO_SHAPE, "groups", "w's channels match x's", s.groups);
    return 0;
  }
  s.group_channels = s.channels / s.groups;
  s.group_filters = s.filters / s.groups;
  *out = s;
  return conv2d_check_sizes(&s, y, answer);
}

static inline int conv2d_read(const kp_problem *problem, storage stored, conv2d *out,
                              kp_answer *answer) {
  return conv2d_check_tensors(problem, stored, answer) &&
         conv2d_read_sizes(problem, 0, out, answer);
}

static inline int conv2d_read_transposed(const kp_problem *problem, storage stored, conv2d *out,
                                         kp_answer *answer) {
  return conv2d_check_tensors(problem, stored, answer) &&
         conv2d_read_sizes(problem, 1, out, answer);
}

/* Every tensor in `layout` (vectors in their only one), or refuses. */
static inline int conv2d_layouts(const kp_problem *problem, const char *layout, kp_answer *answer) {
  static const char *const names[] = {"x", "w", "bias"};
  for (uint32_t i = 0; i < problem->num_inputs + 1; i++) {
    int is_output = i == problem->num_inputs;
    const kp_tensor *t = is_output ? &problem->outputs[0] : &problem->inputs[i];
    if (kp_is_absent(t)) continue;
    int plain = i == 1 || (i == 2 && problem->num_operator_inputs > 2);
    const char *wanted = plain ? "nchw" : layout;
    if (!kp_is_layout(t, wanted) && !kp_is_layout(t, "any")) {
      kp_refuse(answer, KP_NO_LAYOUT, is_output ? "output" : i < 2 ? names[i] : "epilogue", wanted);
      return 0;
    }
    if (answer->layouts) strcpy(answer->layouts[i], wanted);
  }
  return 1;
}

/* Does the problem have a bias? */
static inline int conv2d_has_bias(const kp_problem *problem) {
  return problem->num_operator_inputs > 2 && !kp_is_absent(&problem->inputs[2]);
}

#endif
