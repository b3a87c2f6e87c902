/* What a plan is expected to take. */
#ifndef QNNPACK_COST_H
#define QNNPACK_COST_H

#include "plan.h"

/* Seconds for as many multiplications and additions, at the library's best, and for as many results
 * of sums; with the plan's copies. */
double cost_seconds(const struct plan *plan, double products, double outputs);

#endif
