/* Axes to resize, as they lie in memory, and where their elements come from. */
#ifndef PORTABLE_RESIZE_H
#define PORTABLE_RESIZE_H

#include "problem.h"

typedef struct resize_axis {
  int64_t in, out;
  double scale; /* 1 where in == out: the axis stays */
} resize_axis;

typedef struct resize_axes {
  int ndim;
  int64_t lanes; /* channels of a block: elements that lie behind the last axis */
  resize_axis axes[MAX_RANK + 1];
} resize_axes;

static inline int resize_stays(const resize_axis *axis) {
  return axis->in == axis->out && axis->scale == 1;
}

/* Reads the axes in the order of memory. */
void resize_read(const kp_problem *problem, const char *layout, resize_axes *axes);

/* Refuses what none of the resize kernels serve; settles the layouts. */
int resize_refuse(const kp_problem *problem, kp_answer *answer);

/* The place in the input of element `at` of the output. */
double resize_coordinate(const resize_axis *axis, const char *mode, int64_t at);

enum { RESIZE_TAPS = 4 };

typedef struct resize_tap {
  int64_t index;
  double weight;
} resize_tap;

/* The two (linear) or four (cubic) elements that element `at` of the output is a sum of. */
void resize_find_taps(const kp_problem *problem, const resize_axis *axis, int64_t at, int taps,
                      resize_tap *found);

#endif
