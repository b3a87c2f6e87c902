/* micro.c for bfloat16 that is multiplied in pairs. */
#define REAL_PAIRS 1
#include "micro.c"
