/* What depthwise kernels of nchw images have in common. */
#ifndef PORTABLE_CONV2D_DEPTHWISE_H
#define PORTABLE_CONV2D_DEPTHWISE_H

#include "conv2d_problem.h"

/* Refuses what isn't depthwise, of 3x3, 5x5 or 7x7 without dilation, with strides of 1 or 2 (7x7:
 * 1) along a line, padded by half of that at the left and as far as the image's last column at the
 * right. */
static inline int depthwise_check_window(const conv2d *s, kp_answer *answer) {
  const int64_t size = s->kernel_w, stride = s->stride_w;
  if (s->group_channels != 1 || s->group_filters != 1)
    kp_refuse_number(answer, KP_NO_ATTRIBUTE, "groups", "x's and w's channels", s->groups);
  else if (s->kernel_h != size || (size != 3 && size != 5 && size != 7))
    kp_refuse(answer, KP_NO_SHAPE, "w.shape", "[..., 3, 3], [..., 5, 5] or [..., 7, 7]");
  else if (stride > 2 || (size == 7 && stride > 1))
    kp_refuse(answer, KP_NO_ATTRIBUTE, "strides", "[..., 1] or [..., 2], [..., 1] for 7x7");
  else if (s->dilation_h != 1 || s->dilation_w != 1)
    kp_refuse(answer, KP_NO_ATTRIBUTE, "dilations", "[1, 1]");
  else if (s->pad_left != size / 2 || s->out_width != (s->width + stride - 1) / stride)
    kp_refuse(answer, KP_NO_ATTRIBUTE, "pads", "half of the kernel's width beside the image");
  else
    return 1;
  return 0;
}

#endif
