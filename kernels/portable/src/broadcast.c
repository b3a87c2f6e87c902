#include "broadcast.h"

/* The dimensions of the output in memory: the logical one that each is of. Blocks of channels
 * are two: all the blocks, then the channels of one. */
typedef struct {
  int ndim, blocks, lanes; /* positions of the blocks and of their channels, or -1 */
  int64_t block;
  int logical[MAX_RANK];
} memory_order;

static int64_t block_of(const char *layout) {
  return strcmp(layout, "nChw16c") == 0 ? 16 : strcmp(layout, "nChw8c") == 0 ? 8 : 1;
}

static memory_order order_of(const kp_tensor *y, const char *layout) {
  memory_order order = {.blocks = -1, .lanes = -1, .block = 1};
  if (strcmp(layout, "nhwc") == 0)
    return (memory_order){
        .ndim = 4, .blocks = -1, .lanes = -1, .block = 1, .logical = {0, 2, 3, 1}};
  if (block_of(layout) > 1)
    return (memory_order){
        .ndim = 5, .blocks = 1, .lanes = 4, .block = block_of(layout), .logical = {0, 1, 2, 3, 1}};
  order.ndim = y->dl.ndim;
  for (int i = 0; i < order.ndim; i++) order.logical[i] = i;
  return order;
}

/* Does the tensor lie in `layout` as it does in nchw? */
static int is_like_nchw(const kp_tensor *t, const char *layout) {
  const int64_t *shape = t->dl.shape;
  return t->dl.ndim == 4 && shape[2] == 1 && shape[3] == 1 && shape[1] % block_of(layout) == 0;
}

static const char *settled_layout(const kp_problem *problem, int num_operands) {
  const kp_tensor *y = &problem->outputs[0];
  if (!kp_is_layout(y, "any")) return y->layout;
  for (int i = 0; i < num_operands; i++) {
    const kp_tensor *t = &problem->inputs[i];
    if (!kp_is_layout(t, "any") && same_shape(t, y)) return t->layout;
  }
  return "nchw";
}

/* Fills in the operand's stride along each of the output's dimensions. Returns 0 where the
 * layouts don't go together. */
static int operand_strides(const kp_tensor *t, const char *layout, const memory_order *order,
                           const kp_tensor *y, int64_t *stride) {
  int own = strcmp(layout, "nchw") != 0;
  if (own) {
    int64_t step = 1;
    const int64_t *shape = t->dl.shape;
    for (int i = order->ndim - 1; i >= 0; i--) {
      int64_t extent = i == order->lanes    ? order->block
                       : i == order->blocks ? (shape[1] + order->block - 1) / order->block
                                            : shape[order->logical[i]];
      int repeats = shape[order->logical[i]] != y->dl.shape[order->logical[i]];
      stride[i] = repeats ? 0 : step;
      step *= extent;
    }
    return 1;
  }
  int64_t step = 1, by_dimension[MAX_RANK] = {0};
  for (int i = t->dl.ndim - 1; i >= 0; i--) {
    by_dimension[y->dl.ndim - t->dl.ndim + i] = t->dl.shape[i] == 1 ? 0 : step;
    step *= t->dl.shape[i];
  }
  for (int i = 0; i < order->ndim; i++) stride[i] = by_dimension[order->logical[i]];
  if (order->blocks >= 0) {
    if (by_dimension[1] && y->dl.shape[1] % order->block) return 0;
    stride[order->blocks] *= order->block;
  }
  return 1;
}

/* Drops dimensions of extent 1 and merges neighbours that every operand walks as one. */
static void merge_dimensions(broadcast *b) {
  int kept = 0;
  for (int i = 0; i < b->ndim; i++) {
    const int64_t extent = b->extent[i];
    if (extent == 1) continue;
    int merges = kept > 0;
    for (int k = 0; merges && k < b->num_operands; k++)
      merges = b->stride[k][kept - 1] == b->stride[k][i] * extent;
    if (!merges) b->extent[kept++] = 1;
    b->extent[kept - 1] *= extent;
    for (int k = 0; k < b->num_operands; k++) b->stride[k][kept - 1] = b->stride[k][i];
  }
  if (kept == 0) {
    b->extent[kept++] = 1;
    for (int k = 0; k < b->num_operands; k++) b->stride[k][0] = 1;
  }
  b->ndim = kept;
}

int broadcast_make(const kp_problem *problem, int num_operands, broadcast *b, kp_answer *answer) {
  const kp_tensor *y = &problem->outputs[0];
  const char *layout = settled_layout(problem, num_operands);
  if (strcmp(layout, "nchw") != 0 && y->dl.ndim != 4) {
    kp_refuse_number(answer, KP_NO_RANK, "output.rank", "4 in this layout", y->dl.ndim);
    return 1;
  }
  memory_order order = order_of(y, layout);
  *b = (broadcast){.num_operands = num_operands, .ndim = order.ndim, .count = 1};
  for (int i = 0; i < order.ndim; i++) {
    int64_t extent = y->dl.shape[order.logical[i]];
    b->extent[i] = i == order.lanes    ? order.block
                   : i == order.blocks ? (extent + order.block - 1) / order.block
                                       : extent;
    b->count *= b->extent[i];
  }
  if (answer) answer_layout(answer, (uint32_t)problem->num_inputs, layout);
  for (int k = 0; k < num_operands; k++) {
    const kp_tensor *t = &problem->inputs[k];
    int follows = kp_is_layout(t, "any") && t->dl.ndim == 4 && kp_elements(t) != 1;
    const char *own = follows ? layout : kp_is_layout(t, "any") ? "nchw" : t->layout;
    if (answer) answer_layout(answer, (uint32_t)k, own);
    if (is_like_nchw(t, own)) own = "nchw";
    if ((strcmp(own, "nchw") != 0 && strcmp(own, layout) != 0) ||
        !operand_strides(t, own, &order, y, b->stride[k])) {
      kp_refuse(answer, KP_NO_LAYOUT, "layout", "the output's, or one entry for each channel");
      return 1;
    }
  }
  merge_dimensions(b);
  for (int k = 0; k < num_operands; k++) {
    if (b->stride[k][b->ndim - 1] <= 1) continue;
    kp_refuse(answer, KP_NO_LAYOUT, "layout", "the output's, or one entry for each channel");
    return 1;
  }
  return 0;
}

uint64_t broadcast_dense(const broadcast *b) {
  uint64_t dense = 0;
  for (int k = 0; k < b->num_operands; k++) {
    int64_t step = 1;
    int is_dense = 1;
    for (int i = b->ndim - 1; i >= 0 && is_dense; i--) {
      is_dense = b->stride[k][i] == step;
      step *= b->extent[i];
    }
    dense |= (uint64_t)is_dense << k;
  }
  return dense;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

void broadcast_walk(const broadcast *b, int64_t begin, int64_t end, broadcast_body *body,
                    const void *context) {
  int inner = b->ndim - 1;
  int64_t count = b->extent[inner], total_rows = inner > 0 ? b->extent[inner - 1] : 1;
  broadcast_rows rows;
  for (int k = 0; k < b->num_operands; k++) {
    rows.inner[k] = (int)b->stride[k][inner];
    rows.row[k] = inner > 0 ? b->stride[k][inner - 1] : 0;
  }
  while (begin < end) {
    int64_t column = begin % count, rest = begin / count, row = rest % total_rows;
    int64_t offsets[MAX_OPERANDS];
    for (int k = 0; k < b->num_operands; k++)
      offsets[k] = column * rows.inner[k] + row * rows.row[k];
    rest /= total_rows;
    for (int i = inner - 2; i >= 0; i--) {
      int64_t index = rest % b->extent[i];
      rest /= b->extent[i];
      for (int k = 0; k < b->num_operands; k++) offsets[k] += index * b->stride[k][i];
    }
    if (column || end - begin < count) { /* a part of a row */
      rows.rows = 1;
      rows.count = smaller(count - column, end - begin);
    } else {
      rows.rows = smaller(total_rows - row, (end - begin) / count);
      rows.count = count;
    }
    body(context, &rows, offsets, begin);
    begin += rows.rows * rows.count;
  }
}
