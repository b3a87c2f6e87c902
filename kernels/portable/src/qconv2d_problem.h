/* What the quantised convolutions read of a problem: they work on channels last, and bring images
 * that lie otherwise into that order in scratch. */
#ifndef PORTABLE_QCONV2D_PROBLEM_H
#define PORTABLE_QCONV2D_PROBLEM_H

#include "conv2d_problem.h"
#include "copy.h"
#include "qproduct.h"

typedef struct qconv2d {
  conv2d shape;
  int x_moves, y_moves; /* the image lies channels first */
  int has_bias, threads;
  int y_size; /* bytes of an element */
  uint32_t num_inputs;
} qconv2d;

static inline int64_t qconv2d_x_bytes(const conv2d *s) {
  return s->batch * s->channels * conv2d_in_size(s);
}
static inline int64_t qconv2d_y_bytes(const qconv2d *q) {
  return q->shape.batch * q->shape.filters * conv2d_out_size(&q->shape) * q->y_size;
}

static inline int qconv2d_moves(const kp_tensor *t) {
  return kp_is_layout(t, "nchw") && t->dl.shape[1] != 1 &&
         (t->dl.shape[2] != 1 || t->dl.shape[3] != 1);
}

/* Channels first or last for x and y, each as it likes; returns 0 where it has refused. */
static inline int qconv2d_layouts(const kp_problem *problem, kp_answer *answer) {
  for (uint32_t i = 0; i < problem->num_inputs + 1; i++) {
    const kp_tensor *t = problem_tensor(problem, i);
    const int is_image = i == 0 || i == problem->num_inputs;
    const char *layout = kp_is_layout(t, "any") ? is_image ? "nhwc" : "nchw" : t->layout;
    if (kp_is_absent(t)) continue;
    if (!(layout_bit(layout) & (is_image ? LAYOUT_NCHW | LAYOUT_NHWC : LAYOUT_NCHW))) {
      kp_refuse(answer, KP_NO_LAYOUT,
                i == 0     ? "x.layout"
                : is_image ? "y.layout"
                           : "layout",
                is_image ? "nchw or nhwc" : "nchw");
      return 0;
    }
    if (answer->layouts) answer_layout(answer, i, layout);
  }
  return 1;
}

/* Of qconv2d, or of qconv_transpose2d. Returns 0 where it has refused. */
static inline int qconv2d_read(const kp_problem *problem, int is_transposed, qconv2d *out,
                               kp_answer *answer) {
  *out = (qconv2d){.x_moves = qconv2d_moves(problem->inputs),
                   .y_moves = qconv2d_moves(problem->outputs),
                   .has_bias = !qproduct_gives_sums(problem) && qproduct_has_bias(problem),
                   .y_size = element_size(problem->outputs),
                   .threads = problem->threads,
                   .num_inputs = problem->num_inputs};
  return qconv2d_layouts(problem, answer) &&
         conv2d_read_sizes(problem, is_transposed, &out->shape, answer);
}

/* ---- Images in scratch ----------------------------------------------------------------- */

static inline int64_t qconv2d_staging_bytes(const qconv2d *q) {
  return (q->x_moves ? kernel_round_up(qconv2d_x_bytes(&q->shape), KP_ALIGNMENT) : 0) +
         (q->y_moves ? kernel_round_up(qconv2d_y_bytes(q), KP_ALIGNMENT) : 0);
}

static inline double qconv2d_staging_seconds(const qconv2d *q) {
  return 8e-11 * ((q->x_moves ? (double)qconv2d_x_bytes(&q->shape) : 0) +
                  (q->y_moves ? (double)qconv2d_y_bytes(q) : 0));
}

/* `count` matrices of elements of `size` bytes, transposed. */
static inline void qconv2d_transpose(const void *from, void *to, int64_t count, int64_t rows,
                                     int64_t columns, int size, int threads) {
  strided_copy c = {.ndim = 3,
                    .size = size,
                    .extent = {count, columns, rows},
                    .from = {rows * columns, 1, columns},
                    .to = {rows * columns, rows, 1}};
  copy_simplify(&c);
  copy_run(&c, from, to, threads);
}

/* x channels last. Takes its place from `scratch`. */
static inline const uint8_t *qconv2d_stage_x(const qconv2d *q, const void *x, char **scratch) {
  if (!q->x_moves) return x;
  const conv2d *s = &q->shape;
  char *staged = *scratch;
  *scratch += kernel_round_up(qconv2d_x_bytes(s), KP_ALIGNMENT);
  qconv2d_transpose(x, staged, s->batch, s->channels, conv2d_in_size(s), 1, q->threads);
  return (const uint8_t *)staged;
}

/* Where y goes channels last, and afterwards to its own place. */
static inline void *qconv2d_stage_y(const qconv2d *q, void *y, char **scratch) {
  if (!q->y_moves) return y;
  char *staged = *scratch;
  *scratch += kernel_round_up(qconv2d_y_bytes(q), KP_ALIGNMENT);
  return staged;
}
static inline void qconv2d_unstage_y(const qconv2d *q, const void *staged, void *y) {
  const conv2d *s = &q->shape;
  if (q->y_moves)
    qconv2d_transpose(staged, y, s->batch, conv2d_out_size(s), s->filters, q->y_size, q->threads);
}

#endif
