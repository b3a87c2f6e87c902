/* Work spread over OpenMP's threads. */
#ifndef PORTABLE_PARALLEL_H
#define PORTABLE_PARALLEL_H

#include <stdint.h>

typedef void parallel_body(const void *context, int64_t begin, int64_t end, int part);

/* Calls `body` for near-equal parts of [0, total), `threads` of them at most; part counts from 0.
 * The caller runs it all where one part is enough. */
void parallel_for(int threads, int64_t total, parallel_body *body, const void *context);

#endif
