#include "pool.h"

#include <sched.h>
#include <stdlib.h>

static void destroy_set(const struct plan *plan, struct set *set) {
  if (!set) return;
  for (int part = 0; part < plan->parts; part++)
    if (set->operators[part]) plan->library->delete_operator(set->operators[part]);
  free(set);
}

/* What a set's operators are set up for. */
static void note(struct set *set, const struct places *places) {
  atomic_store_explicit(&set->x, (uintptr_t)places->x, memory_order_relaxed);
  atomic_store_explicit(&set->second, (uintptr_t)places->second, memory_order_relaxed);
  atomic_store_explicit(&set->y, (uintptr_t)places->y, memory_order_relaxed);
}

/* Makes a set that is taken; it is set up once, so that all it needs is allocated. */
static qnnpack_status make_set(const struct plan *plan, const struct places *places,
                               const void *const *constants, struct set **made) {
  struct set *set = calloc(1, sizeof *set);
  if (!set) return QNNPACK_OUT_OF_MEMORY;
  atomic_init(&set->is_taken, 1);
  qnnpack_status status = QNNPACK_SUCCESS;
  for (int part = 0; part < plan->parts && status == QNNPACK_SUCCESS; part++) {
    status = plan->row->create(plan, part, constants, &set->operators[part]);
    if (status == QNNPACK_SUCCESS)
      status = plan->row->setup(plan, part, set->operators[part], places);
  }
  if (status == QNNPACK_SUCCESS) {
    note(set, places);
    *made = set;
  } else {
    destroy_set(plan, set);
  }
  return status;
}

qnnpack_status pool_start(struct pool *pool, const struct plan *plan,
                          const void *const *constants) {
  /* Addresses are computed with, not read. */
  static uint8_t nowhere[1];
  const struct places places = {nowhere, nowhere, nowhere};
  struct set *set = NULL;
  const qnnpack_status status = make_set(plan, &places, constants, &set);
  if (status != QNNPACK_SUCCESS) return status;
  atomic_init(&set->is_taken, 0);
  atomic_init(&pool->sets[0], set);
  return status;
}

static int is_set_up(const struct set *set, const struct places *places) {
  return atomic_load_explicit(&set->x, memory_order_relaxed) == (uintptr_t)places->x &&
         atomic_load_explicit(&set->second, memory_order_relaxed) == (uintptr_t)places->second &&
         atomic_load_explicit(&set->y, memory_order_relaxed) == (uintptr_t)places->y;
}

static int take(struct set *set) {
  int expected = 0;
  /* Reading first keeps a line that others hold from bouncing. */
  return atomic_load_explicit(&set->is_taken, memory_order_relaxed) == 0 &&
         atomic_compare_exchange_strong_explicit(&set->is_taken, &expected, 1, memory_order_acquire,
                                                 memory_order_relaxed);
}

/* A free set, one set up for `places` if there is one; NULL: all are taken. */
static struct set *find(struct pool *pool, const struct places *places, int *count) {
  struct set *set;
  int i;
  for (i = 0; i < POOL_SETS && (set = atomic_load(&pool->sets[i])); i++)
    if (is_set_up(set, places) && take(set)) return set;
  *count = i;
  for (i = 0; i < *count; i++)
    if (take(set = atomic_load(&pool->sets[i]))) return set;
  return NULL;
}

/* Adds a set that is taken to the pool; returns 0 where the pool is full. */
static int add(struct pool *pool, struct set *set) {
  for (int i = 0; i < POOL_SETS; i++) {
    struct set *expected = NULL;
    if (atomic_compare_exchange_strong(&pool->sets[i], &expected, set)) return 1;
  }
  return 0;
}

struct set *pool_take(struct pool *pool, const struct plan *plan, const struct places *places,
                      const void *const *constants) {
  for (int may_grow = 1;;) {
    int count = 0;
    struct set *set = find(pool, places, &count);
    if (set) return set;
    if (may_grow && count < POOL_SETS &&
        make_set(plan, places, constants, &set) == QNNPACK_SUCCESS) {
      if (add(pool, set)) return set;
      destroy_set(plan, set);
    }
    may_grow = 0; /* full, or no memory: others put theirs back */
    sched_yield();
  }
}

void pool_put(struct set *set) { atomic_store_explicit(&set->is_taken, 0, memory_order_release); }

static qnnpack_status run_part(const struct plan *plan, int part, qnnpack_operator *made,
                               const struct places *places) {
  const qnnpack_status status =
      places ? plan->row->setup(plan, part, made, places) : QNNPACK_SUCCESS;
  return status == QNNPACK_SUCCESS ? plan->library->run_operator(made, NULL) : status;
}

qnnpack_status pool_run(const struct plan *plan, struct set *set, const struct places *places) {
  const struct places *changed = is_set_up(set, places) ? NULL : places;
  int failed = QNNPACK_SUCCESS;
  if (plan->parts == 1) {
    failed = run_part(plan, 0, set->operators[0], changed);
  } else {
#pragma omp parallel for num_threads(plan->parts) schedule(static, 1) reduction(max : failed)
    for (int part = 0; part < plan->parts; part++) {
      const int status = (int)run_part(plan, part, set->operators[part], changed);
      failed = status > failed ? status : failed;
    }
  }
  static const struct places nothing;
  if (failed != QNNPACK_SUCCESS)
    note(set, &nothing);
  else if (changed)
    note(set, places);
  return (qnnpack_status)failed;
}

void pool_destroy(struct pool *pool, const struct plan *plan) {
  for (int i = 0; i < POOL_SETS; i++) destroy_set(plan, atomic_load(&pool->sets[i]));
}
