/* Operators that move elements without looking at them, as lists of copies. */
#ifndef PORTABLE_MOVE_H
#define PORTABLE_MOVE_H

#include "copy.h"

typedef struct move {
  uint32_t source, destination;              /* indices of the problem's tensors */
  int64_t source_offset, destination_offset; /* elements */
  strided_copy copy;
} move;

typedef struct move_operator {
  /* Settles the layouts, or refuses and returns 1. */
  int (*refuse)(const kp_problem *problem, kp_answer *answer);
  /* Number of copies. */
  uint32_t (*count)(const kp_problem *problem);
  /* Fills in the copies; `copy.size` is set. Layouts are concrete. */
  void (*make)(const kp_problem *problem, move *moves);
  int in_place;     /* the result is the input's bytes */
  int moves_pieces; /* it has one move, whose lines may be short or turned; all layouts are nchw */
} move_operator;

typedef struct move_context {
  const move_operator *operator;
  element element;
} move_context;

void move_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                kp_answer *answer);
kp_status move_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                       const void *const *constants, kp_prepared **prepared, kp_error *error);
kp_status move_run(const kp_prepared *prepared, void *const *buffers, void *scratch, void *queue);

/* The one copy of an operator whose output is dense in `output_shape`. */
static inline uint32_t one_move(const kp_problem *problem) {
  (void)problem;
  return 1;
}

static inline int refuse_all_but_nchw(const kp_problem *problem, kp_answer *answer) {
  return refuse_layouts(problem, answer, LAYOUT_NCHW);
}

/* Strides of a dense tensor, in elements. */
static inline void dense_strides(const int64_t *shape, int ndim, int64_t *strides) {
  int64_t step = 1;
  for (int i = ndim - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i];
  }
}

/* A kernel for each element type; use inside a macro X(short name, type). */
#define MOVE_KERNEL(operator_name, implementation, short_name)                \
  {KERNEL("portable." operator_name ".copy." #short_name),                    \
   .context = &(const move_context){&(implementation), ELEMENT_##short_name}, \
   .query = move_query,                                                       \
   .prepare = move_prepare,                                                   \
   .run = move_run,                                                           \
   .release = release_prepared}

#endif
