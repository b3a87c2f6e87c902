/* What every source of the pack uses to register its kernels and to size its work. */
#ifndef PORTABLE_KERNEL_H
#define PORTABLE_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernel_pack.h"

typedef struct kp_kernel_list {
  size_t count;
  const kp_kernel *kernels;
} kp_kernel_list;

#define KERNEL_LIST(array) {sizeof(array) / sizeof *(array), array}

#define KERNEL_STRING_(x) #x
#define KERNEL_STRING(x) KERNEL_STRING_(x)
#ifdef __FILE_NAME__
#define KERNEL_FILE "kernels/portable/src/" __FILE_NAME__
#else
#define KERNEL_FILE __FILE__
#endif
/* The level that compiled it, too: the same line makes a kernel in each. */
#ifdef LEVEL
#define KERNEL_SOURCE KERNEL_FILE ":" KERNEL_STRING(__LINE__) " (" KERNEL_STRING(LEVEL) ")"
#else
#define KERNEL_SOURCE KERNEL_FILE ":" KERNEL_STRING(__LINE__)
#endif

/* The leading members of a kp_kernel whose result doesn't depend on run or threads. */
#define KERNEL(kernel_name)                                                                  \
  .struct_size = sizeof(kp_kernel), .flags = KP_KERNEL_DETERMINISTIC, .name = (kernel_name), \
  .source = KERNEL_SOURCE

static inline kp_status refuse_memory(kp_error *error) {
  static const char message[] = "no memory for the prepared kernel";
  if (error) memcpy(error->message, message, sizeof message);
  return KP_OUT_OF_MEMORY;
}

/* Seconds to wake the other threads and wait for them. */
static inline double kernel_team_seconds(int64_t threads) { return threads > 1 ? 3e-6 : 0; }

/* Threads worth using for `work` seconds of one thread's work: a region costs a few
 * microseconds, so that tiny work stays in the caller. */
static inline int kernel_threads(double work, int limit) {
  double worth = work / 4e-6;
  return worth < 2 ? 1 : worth < limit ? (int)worth : limit;
}

/* Part `index` of `parts` near-equal ones of [0, total): its begin and end. */
static inline void kernel_split(int64_t total, int64_t parts, int64_t index, int64_t *begin,
                                int64_t *end) {
  int64_t base = total / parts, extra = total % parts;
  *begin = index * base + (index < extra ? index : extra);
  *end = *begin + base + (index < extra);
}

static inline int64_t kernel_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t kernel_max(int64_t a, int64_t b) { return a > b ? a : b; }

static inline int64_t kernel_round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/* a * b, or INT64_MAX when that overflows (and so for negative operands). */
static inline int64_t kernel_multiply(int64_t a, int64_t b) {
  int64_t product;
  return a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

#endif
