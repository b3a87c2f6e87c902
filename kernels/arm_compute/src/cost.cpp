#include "cost.h"

#include <algorithm>

#include "arm_compute/core/CPP/CPPTypes.h"
#include "scheduler.h"

namespace {

/* Two 128-bit multiply-adds a cycle at 2.5 GHz, as Neoverse N1 and Cortex-A76 do them. */
constexpr double peak_flops_f32 = 4e10;
/* By one thread, in a cache of the core's own, and beyond. */
constexpr double cached_bytes = 3e10, far_bytes = 1e10;
constexpr double cache = 512 << 10;
/* An object of the library's: its pack of tensors, its windows, its virtual calls. */
constexpr double call_seconds = 2e-6;
constexpr double team_seconds = 3e-6;

/* Half precision doubles the lanes; a dot product of bytes is four times as many. */
double peak_flops(const Plan &plan) {
  if (plan.dtype == arm_compute::DataType::F16) return 2 * peak_flops_f32;
  if (!plan.is_quantized()) return peak_flops_f32;
  return (scheduler_cpu().has_dotprod() ? 4 : 1.5) * peak_flops_f32;
}

}  // namespace

double cost_seconds(const Plan &plan, const Work &work) {
  const bool shared = plan.threads() > 1;
  const double arithmetic = work.flops / peak_flops(plan);
  const double traffic = work.bytes / (work.bytes < cache ? cached_bytes : far_bytes);
  return call_seconds + (shared ? team_seconds : 0) +
         std::max(arithmetic, traffic) / work.efficiency / plan.threads();
}
