/*
 * Work spread over OpenMP's threads.
 *
 * Each thread begins with a share of its own, the same one in each call, so that what it wrote
 * before is in its cache. Then it takes what others have left, from the far end: a slow core, or
 * one that other programs keep busy, does less. Who does a part differs from run to run, so no
 * result may depend on it.
 */
#ifndef PORTABLE_PARALLEL_H
#define PORTABLE_PARALLEL_H

#include <stdint.h>

/* Does the units [begin, end); `thread` is less than the number of threads, and no two calls at a
 * time have the same: what indexes scratch. */
typedef void parallel_body(const void *context, int64_t begin, int64_t end, int thread);

/* Calls `body` for parts of [0, total), some to each of at most `threads` threads. The caller runs
 * it all where one thread is enough. */
void parallel_for(int threads, int64_t total, parallel_body *body, const void *context);

#endif
