/* What follows a convolution or a product. */
#ifndef KERNELS_ARM_COMPUTE_EPILOGUE_H
#define KERNELS_ARM_COMPUTE_EPILOGUE_H

#include "arm_compute/function_info/ActivationLayerInfo.h"
#include "plan.h"

struct Epilogue {
  arm_compute::ActivationLayerInfo fused; /* not enabled: none */
  uint32_t rest = 0;                      /* the first step that the call doesn't do itself */
};

/* Takes a leading relu or clip, which the library's products do while they store; of a quantised
 * output all steps, which bound the stored values. */
Epilogue epilogue_split(const kp_problem &problem);

/* Adds calls for the other steps, in the place of output `y`, which lies in `layout`. */
bool epilogue_add(Plan &plan, const Epilogue &epilogue, TensorId y, const char *layout);

#endif
