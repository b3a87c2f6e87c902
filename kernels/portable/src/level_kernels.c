/* The kernels that are compiled at one level: lines of kernels.inc, ended by NULL. */
#include "kernel.h"
#include "level.h"

#ifdef LEVEL_IS_BASE
#define OF_BASE(entry) entry
#else
#define OF_BASE(entry)
#endif
#ifdef LEVEL_ADDS_DOT_BF16
#define OF_DOT_BF16(entry) entry
#else
#define OF_DOT_BF16(entry)
#endif
#ifdef LEVEL_ADDS_MATRIX_I8
#define OF_MATRIX_I8(entry) entry
#else
#define OF_MATRIX_I8(entry)
#endif
#ifdef LEVEL_ADDS_DOT_I8
#define OF_DOT_I8(entry) entry
#else
#define OF_DOT_I8(entry)
#endif

#define SUPPORT(name)
#define SUPPORT_FOR(what, name)
#define SHARED(name)
#define BASELINE(name)
#define LEVELED(name) OF_BASE(ENTRY(name))
#define LEVELED_FOR(what, name) OF_##what(ENTRY(name))

#define ENTRY(name) extern const kp_kernel_list LEVEL_NAME(name##_kernels);
#include "kernels.inc"
#undef ENTRY

extern const kp_kernel_list *const LEVEL_NAME(level_lists)[];

#define ENTRY(name) &LEVEL_NAME(name##_kernels),
const kp_kernel_list *const LEVEL_NAME(level_lists)[] = {
#include "kernels.inc"
    NULL};
