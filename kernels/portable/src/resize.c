#include "resize.h"

#include <math.h>

#include "cubic.h"

void resize_read(const kp_problem *problem, const char *layout, resize_axes *r) {
  static const int nhwc[] = {0, 2, 3, 1};
  const DLTensor *x = &problem->inputs[0].dl, *y = &problem->outputs[0].dl;
  const int last = strcmp(layout, "nhwc") == 0;
  const int64_t block = strcmp(layout, "nChw16c") == 0 ? 16 : strcmp(layout, "nChw8c") == 0 ? 8 : 1;
  r->ndim = y->ndim;
  r->lanes = block;
  for (int i = 0; i < y->ndim; i++) {
    const int axis = last ? nhwc[i] : i;
    r->axes[i] = (resize_axis){x->shape[axis], y->shape[axis],
                               kp_real(problem, "scales", (uint32_t)axis, 1)};
    if (axis == 1 && block > 1) {
      r->axes[i].in = (r->axes[i].in + block - 1) / block;
      r->axes[i].out = (r->axes[i].out + block - 1) / block;
    }
  }
}

int resize_refuse(const kp_problem *problem, kp_answer *answer) {
  if (refuse_layouts(problem, answer, LAYOUT_ALL)) return 1;
  const DLTensor *x = &problem->inputs[0].dl, *y = &problem->outputs[0].dl;
  const int blocked = layout_bit(answer->layouts[0]) & (LAYOUT_NCHW16C | LAYOUT_NCHW8C);
  if (blocked && (x->shape[1] != y->shape[1] || kp_real(problem, "scales", 1, 1) != 1)) {
    kp_refuse(answer, KP_NO_LAYOUT, "layout", "nchw or nhwc to resize channels");
    return 1;
  }
  for (int i = 0; i < x->ndim; i++) {
    if (x->shape[i] <= INT32_MAX) continue;
    kp_refuse_number(answer, KP_NO_SHAPE, "x.shape", "<= 2147483647", x->shape[i]);
    return 1;
  }
  return 0;
}

double resize_coordinate(const resize_axis *axis, const char *mode, int64_t at) {
  const double in = (double)axis->in, out = (double)axis->out;
  if (strcmp(mode, "asymmetric") == 0) return (double)at / axis->scale;
  if (strcmp(mode, "align_corners") == 0) return out > 1 ? (double)at * (in - 1) / (out - 1) : 0;
  if (strcmp(mode, "pytorch_half_pixel") == 0 && out <= 1) return 0;
  const double offset =
      strcmp(mode, "half_pixel_symmetric") == 0 ? in / 2 * (1 - out / (axis->scale * in)) : 0;
  return offset + ((double)at + 0.5) / axis->scale - 0.5;
}

void resize_find_taps(const kp_problem *problem, const resize_axis *axis, int64_t at, int taps,
                      resize_tap *found) {
  const double a = kp_real(problem, "cubic_coefficient", 0, -0.75);
  const int excludes = (int)kp_integer(problem, "exclude_outside", 0, 0);
  const char *mode = kp_string(problem, "coordinate_mode", "half_pixel");
  const double place = resize_coordinate(axis, mode, at), base = floor(place);
  const double fraction = place - base;
  const int64_t first = (int64_t)base - (taps == 4);
  double total = 0;
  for (int t = 0; t < taps; t++) {
    const int64_t index = first + t;
    const int outside = index < 0 || index >= axis->in;
    double weight = taps == 4 ? cubic_weight(fraction + 1 - t, a) : t ? fraction : 1 - fraction;
    if (excludes && outside) weight = 0;
    found[t] = (resize_tap){index < 0 ? 0 : index >= axis->in ? axis->in - 1 : index, weight};
    total += weight;
  }
  for (int t = 0; excludes && t < taps; t++) found[t].weight /= total;
}
