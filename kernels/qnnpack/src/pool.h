/*
 * A pool of operator sets. The library's operators hold the addresses that they work on, so that
 * two runs can't share one: a run takes a set (an operator for each part of the plan) and puts it
 * back. A set made for the same addresses is preferred, and runs without being set up again; any
 * other one is set up for them, which allocates nothing, as sizes don't change. Sets are made when
 * more runs overlap than ever before, from the constants that every run is given.
 */
#ifndef QNNPACK_POOL_H
#define QNNPACK_POOL_H

#include <stdatomic.h>

#include "plan.h"

enum { POOL_SETS = 64 }; /* more runs at a time wait for one another */

struct set {
  atomic_int is_taken;
  atomic_uintptr_t x, second, y; /* what the operators are set up for; 0: nothing */
  qnnpack_operator *operators[PLAN_PARTS];
};

struct pool {
  _Atomic(struct set *) sets[POOL_SETS]; /* filled from the first on */
};

/* Makes the first set, so that runs one after another need no other. */
qnnpack_status pool_start(struct pool *pool, const struct plan *plan, const void *const *constants);

/* Takes a set; it may be set up for `places` already. */
struct set *pool_take(struct pool *pool, const struct plan *plan, const struct places *places,
                      const void *const *constants);
void pool_put(struct set *set);

/* Computes with a set that was taken. */
qnnpack_status pool_run(const struct plan *plan, struct set *set, const struct places *places);

void pool_destroy(struct pool *pool, const struct plan *plan);

#endif
