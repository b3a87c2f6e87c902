/* One rule for each operator, or for each family; the tensors' number and presence are checked. */
#ifndef OPERATOR_RULES_OPERATORS_H
#define OPERATOR_RULES_OPERATORS_H

#include "read.h"

typedef int operator_rule(const kp_problem *problem, kp_answer *answer);

/* elements.c: element by element, reductions, normalisation */
operator_rule rule_unary, rule_clip, rule_alpha, rule_hard_sigmoid, rule_gelu, rule_cast,
    rule_reorder, rule_binary, rule_compare, rule_prelu, rule_where, rule_reduction, rule_argmax,
    rule_cumsum, rule_top_k, rule_softmax, rule_layer_norm, rule_batch_norm, rule_lrn, rule_lookup;
/* products.c */
operator_rule rule_matmul, rule_linear, rule_conv2d, rule_conv_transpose2d, rule_matmul_integer,
    rule_conv_integer;
/* recurrence.c */
operator_rule rule_lstm, rule_gru, rule_rnn;
/* windows.c */
operator_rule rule_max_pool2d, rule_avg_pool2d, rule_global_pool2d;
/* quantization.c */
operator_rule rule_qconv2d, rule_qconv_transpose2d, rule_qmatmul, rule_quantize_linear,
    rule_dequantize_linear, rule_qadd, rule_qmul, rule_qsoftmax, rule_qavg_pool2d,
    rule_qglobal_avg_pool2d, rule_as_quantized, rule_as_stored, rule_dynamic_quantize_linear;
/* movement.c */
operator_rule rule_concat, rule_split, rule_slice, rule_pad, rule_transpose, rule_channel_shuffle,
    rule_expand, rule_reshape, rule_resize, rule_grid_sample;
/* indexing.c */
operator_rule rule_gather, rule_gather_elements, rule_gather_nd, rule_scatter_elements,
    rule_scatter_nd;

/* Strides and dilations; pads; the output's height and width of a sliding window. */
typedef struct window {
  int64_t kernel[2], strides[2], dilations[2], pads[4];
} window;

/* How the shapes of products go together, whatever the dtypes; a bias is checked apart. */
int rule_product_shapes(const kp_problem *problem, kp_answer *answer, int64_t transpose_a,
                        int64_t transpose_b);
int rule_convolution_shapes(const kp_problem *problem, kp_answer *answer);
int rule_bias_shape(const kp_problem *problem, kp_answer *answer, int64_t extent);
int rule_transposed_convolution_shapes(const kp_problem *problem, kp_answer *answer);
int rule_avg_pool2d_shapes(const kp_problem *problem, kp_answer *answer);
int rule_global_pool2d_shapes(const kp_problem *problem, kp_answer *answer);

int window_attributes(const kp_problem *problem, kp_answer *answer, int dilated, window *w);
int window_output(kp_answer *answer, const window *w, const int64_t *extents, int ceil_mode,
                  const int64_t *output);

#endif
