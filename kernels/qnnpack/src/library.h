/* QNNPACK's functions, found at run time: this pack links to none of them. */
#ifndef QNNPACK_LIBRARY_H
#define QNNPACK_LIBRARY_H

#include <stdbool.h>

#include "kernel_pack.h"

/* The library's own types, opaque here: no header of it is installed anywhere. */
typedef struct qnnpack_operator qnnpack_operator;
typedef struct qnnpack_threads qnnpack_threads; /* NULL: the caller's thread */
typedef enum qnnpack_status { QNNPACK_SUCCESS = 0, QNNPACK_OUT_OF_MEMORY = 5 } qnnpack_status;

/*
 * Every function that the pack calls, with its arguments; pytorch_qnnp_ is left out.
 *
 * A convolution copies weights and bias, and keeps the addresses of the zero points and of the
 * multipliers, which it reads by vectors: up to 8 values from any multiple of 4 on. What setup()
 * is given, it keeps until the next one; it allocates what its operator hasn't allocated before.
 */
#define LIBRARY_FUNCTIONS(X)                                                                       \
  X(initialize, (void))                                                                            \
  X(create_convolution2d_nhwc_q8,                                                                  \
    (uint32_t pad_height, uint32_t pad_width, uint32_t kernel_height, uint32_t kernel_width,       \
     uint32_t stride_height, uint32_t stride_width, uint32_t dilation_height,                      \
     uint32_t dilation_width, uint32_t groups, size_t group_inputs, size_t group_outputs,          \
     uint8_t x_zero, const uint8_t *w_zeros, const uint8_t *w, const int32_t *bias,                \
     uint8_t y_zero, uint8_t y_low, uint8_t y_high, uint32_t flags, const float *multipliers,      \
     bool per_channel, qnnpack_operator **made))                                                   \
  X(setup_convolution2d_nhwc_q8,                                                                   \
    (qnnpack_operator * made, size_t batch, size_t height, size_t width, const uint8_t *x,         \
     size_t x_pixel_stride, uint8_t *y, size_t y_pixel_stride, qnnpack_threads *threads))          \
  X(create_deconvolution2d_nhwc_q8,                                                                \
    (uint32_t pad_height, uint32_t pad_width, uint32_t adjustment_height,                          \
     uint32_t adjustment_width, uint32_t kernel_height, uint32_t kernel_width,                     \
     uint32_t stride_height, uint32_t stride_width, uint32_t dilation_height,                      \
     uint32_t dilation_width, uint32_t groups, size_t group_inputs, size_t group_outputs,          \
     uint8_t x_zero, const uint8_t *w_zeros, const uint8_t *w, const int32_t *bias,                \
     uint8_t y_zero, uint8_t y_low, uint8_t y_high, uint32_t flags, const float *multipliers,      \
     qnnpack_operator **made))                                                                     \
  X(setup_deconvolution2d_nhwc_q8,                                                                 \
    (qnnpack_operator * made, size_t batch, size_t height, size_t width, const uint8_t *x,         \
     size_t x_pixel_stride, uint8_t *y, size_t y_pixel_stride, qnnpack_threads *threads))          \
  X(create_add_nc_q8, (size_t channels, uint8_t a_zero, float a_scale, uint8_t b_zero,             \
                       float b_scale, uint8_t y_zero, float y_scale, uint8_t y_low,                \
                       uint8_t y_high, uint32_t flags, qnnpack_operator **made))                   \
  X(setup_add_nc_q8, (qnnpack_operator * made, size_t batch, const uint8_t *a, size_t a_stride,    \
                      const uint8_t *b, size_t b_stride, uint8_t *y, size_t y_stride))             \
  X(create_average_pooling2d_nhwc_q8,                                                              \
    (uint32_t pad_height, uint32_t pad_width, uint32_t kernel_height, uint32_t kernel_width,       \
     uint32_t stride_height, uint32_t stride_width, size_t channels, uint8_t x_zero,               \
     float x_scale, uint8_t y_zero, float y_scale, uint8_t y_low, uint8_t y_high, uint32_t flags,  \
     qnnpack_operator **made))                                                                     \
  X(setup_average_pooling2d_nhwc_q8,                                                               \
    (qnnpack_operator * made, size_t batch, size_t height, size_t width, const uint8_t *x,         \
     size_t x_pixel_stride, uint8_t *y, size_t y_pixel_stride, qnnpack_threads *threads))          \
  X(create_global_average_pooling_nwc_q8,                                                          \
    (size_t channels, uint8_t x_zero, float x_scale, uint8_t y_zero, float y_scale, uint8_t y_low, \
     uint8_t y_high, uint32_t flags, qnnpack_operator **made))                                     \
  X(setup_global_average_pooling_nwc_q8,                                                           \
    (qnnpack_operator * made, size_t batch, size_t pixels, const uint8_t *x,                       \
     size_t x_pixel_stride, uint8_t *y, size_t y_pixel_stride))                                    \
  X(create_max_pooling2d_nhwc_u8,                                                                  \
    (uint32_t pad_height, uint32_t pad_width, uint32_t kernel_height, uint32_t kernel_width,       \
     uint32_t stride_height, uint32_t stride_width, uint32_t dilation_height,                      \
     uint32_t dilation_width, size_t channels, uint8_t y_low, uint8_t y_high, uint32_t flags,      \
     qnnpack_operator **made))                                                                     \
  X(setup_max_pooling2d_nhwc_u8,                                                                   \
    (qnnpack_operator * made, size_t batch, size_t height, size_t width, const uint8_t *x,         \
     size_t x_pixel_stride, uint8_t *y, size_t y_pixel_stride, qnnpack_threads *threads))          \
  X(create_channel_shuffle_nc_x8,                                                                  \
    (size_t groups, size_t group_channels, uint32_t flags, qnnpack_operator **made))               \
  X(setup_channel_shuffle_nc_x8, (qnnpack_operator * made, size_t batch, const uint8_t *x,         \
                                  size_t x_stride, uint8_t *y, size_t y_stride))                   \
  X(create_clamp_nc_u8,                                                                            \
    (size_t channels, uint8_t y_low, uint8_t y_high, uint32_t flags, qnnpack_operator **made))     \
  X(setup_clamp_nc_u8, (qnnpack_operator * made, size_t batch, const uint8_t *x, size_t x_stride,  \
                        uint8_t *y, size_t y_stride))                                              \
  X(create_softargmax_nc_q8, (size_t channels, float x_scale, uint8_t y_zero, float y_scale,       \
                              uint32_t flags, qnnpack_operator **made))                            \
  X(setup_softargmax_nc_q8, (qnnpack_operator * made, size_t batch, const uint8_t *x,              \
                             size_t x_stride, uint8_t *y, size_t y_stride))                        \
  X(run_operator, (qnnpack_operator * made, qnnpack_threads * threads))                            \
  X(delete_operator, (qnnpack_operator * made))

struct library {
#define X(name, arguments) qnnpack_status(*name) arguments;
  LIBRARY_FUNCTIONS(X)
#undef X
  void *handle;
  char description[128]; /* "QNNPACK of PyTorch 2.13.0, SSE2" */
};

/*
 * Loads the library at `path`, or at the place that the environment names. On failure nothing
 * stays open and `error` says why.
 */
kp_status library_open(struct library *library, const char *path, kp_error *error);
void library_close(struct library *library);

#endif
