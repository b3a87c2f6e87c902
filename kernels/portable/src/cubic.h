/* The cubic that interpolates between four elements, by its parameter `a`. */
#ifndef PORTABLE_CUBIC_H
#define PORTABLE_CUBIC_H

#include <math.h>

/* The weight of an element at a distance of up to 2. */
static inline double cubic_weight(double distance, double a) {
  const double d = fabs(distance);
  return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
}

#endif
