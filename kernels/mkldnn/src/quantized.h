/*
 * The arithmetic of quantised products (rules/quantization.h) as oneDNN's attributes.
 *
 * oneDNN's own scales come before the bias, which would have to be a float then, and its zero
 * point before the rounding. To round where the arithmetic does, the sums leave the product
 * without any scale, int32 bias added; the whole multiplier follows as a product with one value
 * for each column, then the rounding, the epilogue's bounds, and the zero point last. That is the
 * arithmetic to the bit where sum and bias are whole numbers of float32, below 2^24; past them the
 * bias is added to a sum that was rounded. A sum that overflows by its bias doesn't wrap.
 */
#ifndef MKLDNN_QUANTIZED_H
#define MKLDNN_QUANTIZED_H

#include "plan.h"

/* Of a product x by w; refused unless every instruction of oneDNN's is exact, w's zero points are
 * alike, and w's bytes are int8 or can be packed as such. */
struct quantized {
  const kp_tensor *x, *w, *y;
  int rank, axis;     /* of the output, and its dimension that w's scales belong to */
  int32_t w_zero;     /* of w's bytes as int8 */
  int w_flips;        /* they are uint8: plan_flipped_input() takes them */
  int rounds, bounds; /* steps that the result needs behind the multiplier */
  int corrects;       /* by what x was moved by: its zero point, or 128 where it is signed */
  struct place multipliers, x_zero_place, w_zero_place, y_zero_place;
};

/* `rank` and `axis` are those of the output as oneDNN sees it. */
int quantized_read(struct plan *plan, int rank, int axis, struct quantized *q);
/* Attributes of the primitive, or NULL after a refusal; the caller destroys them. */
dnnl_primitive_attr_t quantized_attributes(struct plan *plan, const struct quantized *q);
/* Adds to the last step what the attributes need when it runs. */
int quantized_arguments(struct plan *plan, const struct quantized *q);
/* The weights, which lie as `native` in w's own memory, for a primitive that takes `wanted`. */
struct place quantized_weights(struct plan *plan, const struct quantized *q,
                               const_dnnl_memory_desc_t native, const_dnnl_memory_desc_t wanted);

/*
 * The share of the peak, as measured: of `products`, in `vectors` results of 16 columns, which
 * take `lanes` groups of four values of the inner dimension each, and their last steps.
 */
double quantized_efficiency(const struct quantized *q, double products, double vectors,
                            double lanes);

#endif
