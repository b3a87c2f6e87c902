/* Dimensions in another order, and every so many elements of some. */
#include "move.h"

static void make_transpose(const kp_problem *problem, move *m) {
  const DLTensor *x = &problem->inputs[0].dl, *y = &problem->outputs[0].dl;
  int64_t strides[MAX_RANK];
  dense_strides(x->shape, x->ndim, strides);
  dense_strides(y->shape, y->ndim, m->copy.to);
  m->destination = problem->num_inputs;
  m->copy.ndim = y->ndim;
  for (int i = 0; i < y->ndim; i++) {
    m->copy.extent[i] = y->shape[i];
    m->copy.from[i] = strides[kp_integer(problem, "permutation", (uint32_t)i, y->ndim - 1 - i)];
  }
}

static void make_slice(const kp_problem *problem, move *m) {
  const DLTensor *x = &problem->inputs[0].dl, *y = &problem->outputs[0].dl;
  dense_strides(x->shape, x->ndim, m->copy.from);
  dense_strides(y->shape, y->ndim, m->copy.to);
  m->destination = problem->num_inputs;
  m->copy.ndim = y->ndim;
  for (int i = 0; i < y->ndim; i++) {
    m->copy.extent[i] = y->shape[i];
    m->source_offset += kp_integer(problem, "starts", (uint32_t)i, 0) * m->copy.from[i];
    m->copy.from[i] *= kp_integer(problem, "steps", (uint32_t)i, 1);
  }
}

static const move_operator transpose = {refuse_all_but_nchw, one_move, make_transpose,
                                        .moves_pieces = 1};
static const move_operator slice = {refuse_all_but_nchw, one_move, make_slice, .in_place = 0};

#define KERNELS(name, type) \
  MOVE_KERNEL("transpose", transpose, name), MOVE_KERNEL("slice", slice, name),
static const kp_kernel list[] = {FOR_EACH_MOVED(KERNELS)};
const kp_kernel_list transpose_kernels = KERNEL_LIST(list);
