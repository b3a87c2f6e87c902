/*
 * The epilogue's last activation, done by the pack itself. oneDNN's relu and clip take their
 * bound where the value is NaN; the operators keep NaN.
 */
#ifndef MKLDNN_FINISH_H
#define MKLDNN_FINISH_H

#include "kernel_pack.h"

struct finish {
  int is_used;
  float minimum, maximum;
  int64_t count; /* floats of the output, blocks filled up */
  int threads;
};

/* Whether the last step of the problem's epilogue is one that this serves: a relu or a clip
 * of float32 that leaves 0, and so a block's filling, as it is. */
int finish_of_epilogue(const kp_problem *problem, struct finish *finish);
double finish_seconds(const struct finish *finish);
void finish_run(const struct finish *finish, float *y);

#endif
