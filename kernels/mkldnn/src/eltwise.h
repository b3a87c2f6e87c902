/* Functions of one variable: the contract's names and oneDNN's algorithms. */
#ifndef MKLDNN_ELTWISE_H
#define MKLDNN_ELTWISE_H

#include "library.h"

struct eltwise {
  dnnl_alg_kind_t algorithm;
  float alpha, beta;
};

/* Of an operator by its attributes; 0 when there is no such function. */
int eltwise_of_operator(const kp_problem *problem, struct eltwise *function);
/* Of an epilogue step; 0 when it isn't such a function. */
int eltwise_of_epilogue(const kp_epilogue *step, struct eltwise *function);
/* Whether 0 stays 0, and so a block's filling stays as it must be. */
int eltwise_keeps_zero(const struct eltwise *function);
/* Whether it is more arithmetic than a core's caches have bandwidth for. */
int eltwise_takes_exponential(const struct eltwise *function);

#endif
