#include "cost.h"

#include <string.h>

/* Measured on one core of a server processor; only ratios matter. */
static const double STEP_SECONDS = 1e-6;
static const double TEAM_SECONDS = 3e-6; /* to wake the other threads and wait for them */
/* Of the bandwidth, on the way into scratch and back; and of bytes. */
static const double REORDER_SHARE = 0.6, BYTES_REORDER_SHARE = 0.17;
/* Of the bandwidth, where code is written to be read. */
static const double REFERENCE_SHARE = 0.004;

int cost_is_reference(const char *implementation) {
  return strncmp(implementation, "ref", 3) == 0 || strstr(implementation, ":ref") != NULL;
}

double cost_share(const struct plan *plan, dnnl_primitive_desc_t primitive) {
  return cost_is_reference(plan_implementation(plan, primitive)) ? REFERENCE_SHARE : 1;
}

static int has_bytes(const struct plan *plan) {
  return plan->dtype == dnnl_s8 || plan->dtype == dnnl_u8;
}

static double peak_flops(const struct plan *plan) {
  const dnnl_cpu_isa_t isa = plan->dnnl->isa;
  const int wide = (isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
  const int avx2 = (isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2;
  const int bf16 = (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
  const double peak = wide ? 1.12e11 : avx2 ? 8e10 : 2e10;
  if (has_bytes(plan)) return 5e11; /* VNNI; no kernel without */
  return plan->dtype == dnnl_bf16 && bf16 ? 2 * peak : peak;
}

static double traffic_seconds(const struct plan *plan, const struct step *step) {
  double bytes = 0;
  for (uint32_t i = 0; i < step->count; i++) {
    const struct place *place = &plan->arguments[step->first + i].place;
    if (place->kind != PLACE_SCRATCHPAD)
      bytes += (double)plan->dnnl->memory_desc_get_size(place->desc);
  }
  /* By the second of one thread, in a cache of the core's own, in a shared one, and neither. */
  return bytes / (bytes < 1 << 20 ? 4e10 : bytes < 16 << 20 ? 2.5e10 : 1.2e10);
}

double plan_cost(const struct plan *plan, double flops, double efficiency) {
  const double arithmetic = flops / (peak_flops(plan) * efficiency);
  const double threads = plan->problem->threads > 0 ? plan->problem->threads : 1;
  double parallel = 0;
  int steps = 0;
  for (uint32_t i = 0; i < plan->num_steps; i++) {
    const struct step *step = &plan->steps[i];
    if (step->when == STEP_IN_PLACE || step->when == STEP_MISALIGNED) continue;
    const double traffic = traffic_seconds(plan, step);
    steps++;
    if (flops > 0 && step->is_reorder)
      parallel += traffic / (has_bytes(plan) ? BYTES_REORDER_SHARE : REORDER_SHARE);
    else if (flops > 0)
      parallel += arithmetic > traffic ? arithmetic : traffic;
    else
      parallel += traffic / efficiency;
  }
  const double step = STEP_SECONDS + (threads > 1 ? TEAM_SECONDS : 0);
  return step * steps + parallel / threads;
}
