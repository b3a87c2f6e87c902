/* Functions of one variable: the contract's names and the library's activations. */
#ifndef KERNELS_ARM_COMPUTE_ACTIVATION_H
#define KERNELS_ARM_COMPUTE_ACTIVATION_H

#include <vector>

#include "arm_compute/function_info/ActivationLayerInfo.h"
#include "plan.h"

/* One after the other; empty: the library has no such function. */
using Activations = std::vector<arm_compute::ActivationLayerInfo>;

Activations activations_of_operator(const kp_problem &problem);
Activations activations_of_epilogue(const kp_epilogue &step);

/* Adds a call of each from x to y, the later ones in y's place. */
bool activations_add(Plan &plan, const Activations &activations, TensorId x, TensorId y);

#endif
