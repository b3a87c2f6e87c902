/* What a plan is expected to take. */
#ifndef QNNPACK_COST_H
#define QNNPACK_COST_H

#include "plan.h"

/* Seconds for `products` multiplications and additions at `efficiency` of the library's best, and
 * for the plan's copies. */
double cost_seconds(const struct plan *plan, double products, double efficiency);

#endif
