/* ... with Armv8.2's half-precision arithmetic. */
#ifndef PORTABLE_LEVEL_FP16_H
#define PORTABLE_LEVEL_FP16_H

#include "level_dotprod.h"

#endif
