/* What a plan is expected to take, and into how many parts it is worth dividing. */
#ifndef QNNPACK_COST_H
#define QNNPACK_COST_H

#include "plan.h"

/*
 * Settles a plan's parts and what it is expected to take: as many products (multiplications with
 * their additions), as many results of sums, and the plan's copies, in at most `blocks` parts.
 */
void cost_divide(struct plan *plan, int64_t blocks, double products, double outputs);

#endif
