#include "cost.h"

#include <string.h>

/* Measured on one core of a server processor; only ratios matter. */
static const double STEP_SECONDS = 1.5e-6;
static const double CACHE_BYTES = 1 << 20;
static const double CACHE_BANDWIDTH = 4e10; /* bytes a second and thread */
static const double MEMORY_BANDWIDTH = 1e10;

/* The share of the arithmetic peak that a family of implementations reaches. */
static const struct {
  const char *prefix;
  double share;
} implementations[] = {
    {"ref", 0.008}, {"simple", 0.02}, {"gemm:ref", 0.02}, {"gemm", 0.6}, {"x64:gemm", 0.6}};

static double peak_flops(const struct plan *plan) {
  const dnnl_cpu_isa_t isa = plan->dnnl->isa;
  const double single = (isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core ? 1.12e11
                        : (isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2             ? 8e10
                                                                                     : 2e10;
  const int halves = plan->dtype == dnnl_bf16 &&
                     (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
  return halves ? 2 * single : single;
}

static double implementation_share(const char *name) {
  for (size_t i = 0; i < sizeof implementations / sizeof *implementations; i++)
    if (strncmp(name, implementations[i].prefix, strlen(implementations[i].prefix)) == 0)
      return implementations[i].share;
  return 1;
}

static double step_bytes(const struct plan *plan, const struct step *step) {
  double bytes = 0;
  for (uint32_t i = 0; i < step->count; i++) {
    const struct place *place = &plan->arguments[step->first + i].place;
    if (place->kind != PLACE_SCRATCHPAD)
      bytes += (double)plan->dnnl->memory_desc_get_size(place->desc);
  }
  return bytes;
}

double plan_cost(const struct plan *plan, double flops, double efficiency) {
  const double threads = plan->problem->threads > 0 ? plan->problem->threads : 1;
  double seconds = 0;
  for (uint32_t i = 0; i < plan->num_steps; i++) {
    const struct step *step = &plan->steps[i];
    if (step->when == STEP_IN_PLACE) continue;
    const double share = implementation_share(plan_implementation(plan, step->desc));
    const double bytes = step_bytes(plan, step);
    const double traffic =
        bytes / ((bytes < CACHE_BYTES ? CACHE_BANDWIDTH : MEMORY_BANDWIDTH) * threads);
    /* Reference code spends some nanoseconds an element whatever it computes. */
    seconds += STEP_SECONDS + (share < 0.05 ? 20 * traffic : traffic);
  }
  if (plan->num_steps == 0 || flops <= 0) return seconds;
  double share = 1;
  for (uint32_t i = 0; i < plan->num_steps; i++) {
    const double other = implementation_share(plan_implementation(plan, plan->steps[i].desc));
    if (other < share) share = other;
  }
  return seconds + flops / (peak_flops(plan) * threads * efficiency * share);
}
