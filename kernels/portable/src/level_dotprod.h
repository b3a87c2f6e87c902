/* Advanced SIMD with Armv8.2's dot products of 8-bit integers (SDOT, UDOT). */
#ifndef PORTABLE_LEVEL_DOTPROD_H
#define PORTABLE_LEVEL_DOTPROD_H

#include "level_neon.h"

#endif
