/* Updates written to places of a tensor: the part that doesn't depend on the element type. */
#ifndef PORTABLE_SCATTER_H
#define PORTABLE_SCATTER_H

#include "problem.h"

/* `count` updates of each of `width` columns, in elements: update (k, j) is at k * update_step + j
 * and goes to places[k * place_step + j * place_next] + j * y_step. A column's updates alone name
 * its elements. */
typedef struct scatter_walk {
  int64_t count, width;
  int64_t update_step, place_step, place_next, y_step;
} scatter_walk;

typedef void scatter_function(void *y, const void *updates, const int64_t *places,
                              const scatter_walk *walk);

enum { SCATTER_NONE, SCATTER_ADD, SCATTER_MUL, SCATTER_MAX, SCATTER_MIN, SCATTER_REDUCTIONS };

typedef struct scatter_context {
  element type;
  scatter_function *functions[SCATTER_REDUCTIONS]; /* NULL: not served */
} scatter_context;

void scatter_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                   kp_answer *answer);
kp_status scatter_nd_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                             const void *const *constants, kp_prepared **prepared, kp_error *error);
kp_status scatter_nd_run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                         void *queue);
kp_status scatter_elements_prepare(kp_pack *pack, const kp_kernel *kernel,
                                   const kp_problem *problem, const void *const *constants,
                                   kp_prepared **prepared, kp_error *error);
kp_status scatter_elements_run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                               void *queue);

#endif
