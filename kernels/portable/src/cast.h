/* Conversions between any two element types. */
#ifndef PORTABLE_CAST_H
#define PORTABLE_CAST_H

#include "level.h"
#include "problem.h"

/* The element types by number, for cast_elements. */
enum { CAST_TYPES = 13 };
extern const element BASE_NAME(cast_types)[CAST_TYPES];

static inline int cast_type(const kp_tensor *t) {
  int type = 0;
  while (!has_element(t, &BASE_NAME(cast_types)[type])) type++;
  return type;
}

/* As C converts, with these additions: integers wrap around; a real that a 64-bit integer can't
 * hold gives its smallest; a bool tells whether the element isn't zero. */
void BASE_NAME(cast_elements)(int from, int to, const void *x, void *y, int64_t n);

#endif
