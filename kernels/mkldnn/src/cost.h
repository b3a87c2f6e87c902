/* What a plan is expected to take. */
#ifndef MKLDNN_COST_H
#define MKLDNN_COST_H

#include "plan.h"

/*
 * Seconds. With arithmetic: `flops` at `efficiency` of the processor's peak, or
 * memory traffic, whichever binds. Without: traffic at `efficiency` of the
 * bandwidth. Each step has a cost of its own, and reorders on the way count.
 */
double plan_cost(const struct plan *plan, double flops, double efficiency);

/* Whether oneDNN serves a case by code that is written to be read. */
int cost_is_reference(const char *implementation);
/* The share of the bandwidth that a primitive reaches. */
double cost_share(const struct plan *plan, dnnl_primitive_desc_t primitive);

#endif
