#include "cost.h"

/*
 * Of one thread: products a second, and seconds to requantise a sum. Measured by `bench run` on a
 * server processor; on Arm, from counted instructions, some 2.5 of them a cycle of 2.5 GHz: 3
 * products each, as the library has no dot products.
 */
#if defined(__x86_64__)
static const double products_per_second = 2.4e10, output_seconds = 1e-9;
#else
static const double products_per_second = 1.8e10, output_seconds = 4e-10;
#endif
static const double call_seconds = 0.3e-6;
static const double team_seconds = 3e-6; /* to wake the other threads and wait for them */
static const double copied_bytes = 1e10;
static const double transposed_bytes = 1.8e9;

static double copy_seconds(const struct image_copy *copy) {
  if (!copy->is_used) return 0;
  return (double)image_bytes(copy) / (copy->is_channels_first ? transposed_bytes : copied_bytes);
}

void cost_divide(struct plan *plan, int64_t blocks, double products, double outputs) {
  const double work = products / products_per_second + outputs * output_seconds +
                      copy_seconds(&plan->x) + copy_seconds(&plan->y);
  double most = work / team_seconds; /* parts that are worth waking */
  if (most > plan->threads) most = plan->threads;
  if (most > (double)blocks) most = (double)blocks;
  plan->parts = outputs == 0 ? 0 : most < 1 ? 1 : (int)most;
  plan->seconds = call_seconds;
  if (plan->parts > 1) plan->seconds += team_seconds;
  if (plan->parts) plan->seconds += work / plan->parts;
}
