/* ... with Armv8.6's products of 8-bit integer matrices (SMMLA, UMMLA, USMMLA, USDOT). */
#ifndef PORTABLE_LEVEL_I8MM_H
#define PORTABLE_LEVEL_I8MM_H

#include "level_fp16.h"

#endif
