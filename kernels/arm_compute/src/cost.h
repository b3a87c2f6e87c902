/* Expected seconds: a model of one core's rates, of which only ratios matter. */
#ifndef KERNELS_ARM_COMPUTE_COST_H
#define KERNELS_ARM_COMPUTE_COST_H

#include "plan.h"

double cost_seconds(const Plan &plan, const Work &work);

#endif
