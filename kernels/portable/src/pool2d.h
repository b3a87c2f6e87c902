/* Windows over images: what the kernels of every element type share. */
#ifndef PORTABLE_POOL2D_H
#define PORTABLE_POOL2D_H

#include "blocked.h"
#include "parallel.h"

typedef struct {
  int is_max, is_global;
} pool_kind;

/* The taps of an output's row, or column, of windows. */
typedef struct {
  int64_t from;    /* the first that lies in the image */
  int64_t taps;    /* that do */
  int64_t counted; /* in an average */
  int64_t factors; /* of a row: its line of them */
} pool_span;

struct kp_prepared {
  int is_max, count_pads, threads;
  int64_t images, height, width, out_height, out_width; /* images: planes of `channels` lanes */
  int64_t channels;                                     /* that lie together in a pixel */
  int64_t kernel[2], stride[2], pad[4], dilation[2];
  int64_t row;                    /* values of a padded row of the input */
  int64_t inner_begin, inner_end; /* windows of a row that lie in the image from left to right */
  blocked_padding padding;
  parallel_body *rows; /* of a kernel that has several */
  /* Of a kernel that looks them up: */
  const pool_span *row_spans, *column_spans;
  const void *factors; /* reciprocals of what averages count */
};

static inline void pool_describe(const kp_problem *problem, const pool_kind *kind,
                                 const char *layout, kp_prepared *p) {
  const int64_t *x = problem->inputs[0].dl.shape, *y = problem->outputs[0].dl.shape;
  const int64_t block = strcmp(layout, "nChw16c") == 0 ? 16 : strcmp(layout, "nChw8c") == 0 ? 8 : 1;
  const int last = strcmp(layout, "nhwc") == 0;
  *p = (kp_prepared){.is_max = kind->is_max,
                     .count_pads = (int)kp_integer(problem, "count_include_pad", 0, 0),
                     .images = last ? x[0] : x[0] * ((x[1] + block - 1) / block),
                     .height = x[2],
                     .width = x[3],
                     .out_height = y[2],
                     .out_width = y[3],
                     .channels = last ? x[1] : block,
                     .kernel = {x[2], x[3]},
                     .stride = {1, 1},
                     .dilation = {1, 1}};
  if (!kind->is_global) {
    integer_attribute(problem, "kernel_shape", 2, p->kernel);
    integer_attribute(problem, "strides", 2, p->stride);
    integer_attribute(problem, "pads", 4, p->pad);
    integer_attribute(problem, "dilations", 2, p->dilation);
  }
  p->row = (p->out_width - 1) * p->stride[1] + (p->kernel[1] - 1) * p->dilation[1] + 1;
  if (p->row < p->pad[1] + p->width) p->row = p->pad[1] + p->width;
  const int64_t room = p->width + p->pad[1] - (p->kernel[1] - 1) * p->dilation[1];
  p->inner_begin = (p->pad[1] + p->stride[1] - 1) / p->stride[1];
  p->inner_end = room > 0 ? (room - 1) / p->stride[1] + 1 : 0;
}

/* Taps [first, last) of a window that starts at `start` and lie in [0, extent). */
static inline void pool_inside(int64_t start, int64_t kernel, int64_t dilation, int64_t extent,
                               int64_t *first, int64_t *last) {
  *first = start < 0 ? (-start + dilation - 1) / dilation : 0;
  *last = start >= extent ? 0 : (extent - start + dilation - 1) / dilation;
  if (*last > kernel) *last = kernel;
  if (*first > *last) *first = *last;
}

#endif
