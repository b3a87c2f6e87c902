/*
 * direct.h: a convolution by oneDNN's own calls, without the contract, so that `bench run
 * --direct` can say what the contract costs. Links to oneDNN by its symbols, which must have been
 * loaded for all (RTLD_GLOBAL) before.
 */
#ifndef MKLDNN_DIRECT_H
#define MKLDNN_DIRECT_H

#include "kernel_pack.h"

typedef struct direct direct;

/*
 * `buffers`: the problem's inputs, then its output, in the problem's layouts, constants as they
 * are; used by every run. NULL on failure, with a sentence in `error`.
 */
__attribute__((visibility("default"))) direct *direct_create(const kp_problem *problem,
                                                             void *const *buffers, kp_error *error);
__attribute__((visibility("default"))) const char *direct_implementation(const direct *handle);
/* One execution; `handle` is what direct_create() gave, the rest is ignored. 0: success. */
__attribute__((visibility("default"))) int direct_run(const void *handle, void *const *buffers,
                                                      void *queue);
__attribute__((visibility("default"))) void direct_release(direct *handle);

#endif
