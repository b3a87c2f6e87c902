/*
 * Quantised products with constant weights: the library's convolution, which serves matrix
 * products as images of one column, and its transposed one.
 */
#ifndef QNNPACK_PRODUCT_H
#define QNNPACK_PRODUCT_H

#include "window.h"

/* The library's ways to convolve. It picks one by itself; each is a kernel here. */
enum product_path {
  PRODUCT_GEMM,          /* one tap: rows of pixels */
  PRODUCT_IMPLICIT_GEMM, /* any window, by a list of each tap's address */
  PRODUCT_DEPTHWISE      /* 9 or 25 taps of one channel each, by such a list too */
};

struct product {
  struct window window;
  int64_t batch, groups, inputs, outputs;    /* channels of a group */
  int64_t w_group, w_output, w_input, w_tap; /* steps in w, bytes */
  int is_transposed;                         /* a convolution's gradient by its image, */
  int64_t adjustment[2];                     /* and rows and columns added behind its output */
  /* What follows is filled in by product_build(). */
  uint8_t x_zero, y_zero, y_low, y_high, w_flip;
  int has_bias;
  enum product_path path;
  int64_t block; /* channels (groups, where there are several) that a part takes multiples of */
  float *multipliers;
  uint8_t *w_zeros;
};

/*
 * Makes the plan of the product whose sizes are given. Sets `plan->own` to it. Returns 0 after a
 * refusal; `w_name` is what w is called.
 */
int product_build(struct plan *plan, const struct product *sizes, const char *w_name);

qnnpack_status product_create(const struct plan *plan, int part, const void *const *constants,
                              qnnpack_operator **made);
qnnpack_status product_setup(const struct plan *plan, int part, qnnpack_operator *made,
                             const struct places *places);

#endif
