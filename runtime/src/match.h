/* match.h: a plan's kernels in the packs at hand. */
#ifndef REPLAY_MATCH_H
#define REPLAY_MATCH_H

#include "plan.h"
#include "report.h"

typedef struct match {
  const replay_pack *pack;
  const kp_kernel *kernel;
} match;

/* Finds each step's kernel and asks whether it still runs the step's problem. `matches` has
 * num_steps entries. All that is missing goes to `missing`: packs, kernels, refusals. Returns
 * the expected seconds of the whole plan. */
double match_plan(const plan *p, replay_pack *const *packs, size_t num_packs, match *matches,
                  report *missing);

#endif
