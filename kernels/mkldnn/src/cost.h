/* What a plan is expected to take. */
#ifndef MKLDNN_COST_H
#define MKLDNN_COST_H

#include "plan.h"

/*
 * Seconds: arithmetic at `efficiency` of the processor's peak or memory
 * traffic, whichever binds, and each step's own cost. Steps that oneDNN serves
 * by its reference code are priced as such.
 */
double plan_cost(const struct plan *plan, double flops, double efficiency);

#endif
