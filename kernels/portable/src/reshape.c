/* The same elements under another shape or meaning, and repeated along dimensions. */
#include "move.h"

static void make_reshape(const kp_problem *problem, move *m) {
  m->destination = problem->num_inputs;
  m->copy.ndim = 1;
  m->copy.extent[0] = kp_elements(&problem->outputs[0]);
  m->copy.from[0] = m->copy.to[0] = 1;
}

static void make_expand(const kp_problem *problem, move *m) {
  const DLTensor *x = &problem->inputs[0].dl, *y = &problem->outputs[0].dl;
  const int missing = y->ndim - x->ndim;
  m->destination = problem->num_inputs;
  m->copy.ndim = y->ndim;
  dense_strides(y->shape, y->ndim, m->copy.to);
  dense_strides(x->shape, x->ndim, m->copy.from + missing);
  for (int i = 0; i < y->ndim; i++) {
    m->copy.extent[i] = y->shape[i];
    if (i < missing || x->shape[i - missing] != y->shape[i]) m->copy.from[i] = 0;
  }
}

static const move_operator reshape = {refuse_all_but_nchw, one_move, make_reshape, .in_place = 1};
static const move_operator expand = {refuse_all_but_nchw, one_move, make_expand, .in_place = 0};

#define KERNELS(name, type) \
  MOVE_KERNEL("reshape", reshape, name), MOVE_KERNEL("expand", expand, name),
#define MEANINGS(name) \
  MOVE_KERNEL("as_quantized", reshape, name), MOVE_KERNEL("as_stored", reshape, name)
static const kp_kernel list[] = {FOR_EACH_MOVED(KERNELS) MEANINGS(u8), MEANINGS(i8), MEANINGS(i32)};
const kp_kernel_list reshape_kernels = KERNEL_LIST(list);
