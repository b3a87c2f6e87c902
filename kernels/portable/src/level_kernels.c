/* The kernels of one level: the leveled lines of kernels.inc, ended by NULL. */
#include "kernel.h"
#include "level.h"

#define SUPPORT(name)
#define SHARED(name)
#define BASELINE(name)
#define LEVELED(name) extern const kp_kernel_list LEVEL_NAME(name##_kernels);
#include "kernels.inc"
#undef LEVELED

extern const kp_kernel_list *const LEVEL_NAME(level_lists)[];

#define LEVELED(name) &LEVEL_NAME(name##_kernels),
const kp_kernel_list *const LEVEL_NAME(level_lists)[] = {
#include "kernels.inc"
    NULL};
