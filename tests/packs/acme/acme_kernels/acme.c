/*
 * acme.c: the smallest useful kernel pack, and docs/packs.md's example.
 * One kernel: relu on float32, dense, up to 2^31 elements.
 */
#include <stdlib.h>

#include "kernel_pack.h"

struct kp_prepared {
  int64_t count;
};

static int same_shape_and_dtype(const kp_tensor *x, const kp_tensor *y) {
  if (!kp_is_dtype(y, kDLFloat, 32) || x->dl.ndim != y->dl.ndim) return 0;
  for (int i = 0; i < x->dl.ndim; i++)
    if (x->dl.shape[i] != y->dl.shape[i]) return 0;
  return 1;
}

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack, (void)kernel;
  const kp_tensor *x = &problem->inputs[0];
  if (!kp_is_dtype(x, kDLFloat, 32)) {
    kp_refuse(answer, KP_NO_DTYPE, "x.dtype", "float32");
    return;
  }
  if (!kp_is_layout(x, "nchw") && !kp_is_layout(x, "any")) {
    kp_refuse(answer, KP_NO_LAYOUT, "x.layout", "nchw");
    return;
  }
  if (!kp_is_layout(&problem->outputs[0], "nchw") && !kp_is_layout(&problem->outputs[0], "any")) {
    kp_refuse(answer, KP_NO_LAYOUT, "y.layout", "nchw");
    return;
  }
  if (problem->num_inputs != 1 || problem->num_outputs != 1 ||
      !same_shape_and_dtype(x, &problem->outputs[0])) {
    kp_refuse(answer, KP_NO_SHAPE, "y.shape", "x's");
    return;
  }
  if (x->quantization || problem->outputs[0].quantization) {
    kp_refuse(answer, KP_NO_QUANTIZATION, "quantization", "none");
    return;
  }
  if (kp_elements(x) > INT32_MAX) {
    kp_refuse_number(answer, KP_NO_SHAPE, "elements", "<= 2147483647", kp_elements(x));
    return;
  }
  for (int i = 0; i < 2; i++)
    for (int c = 0; c < 5; c++) answer->layouts[i][c] = "nchw"[c];
  answer->cost = 50e-9 + (double)kp_elements(x) * 8 / 10e9;
  answer->may_overwrite = 1;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)constants, (void)error;
  *prepared = malloc(sizeof **prepared);
  if (!*prepared) return KP_OUT_OF_MEMORY;
  (*prepared)->count = kp_elements(&problem->inputs[0]);
  return KP_OK;
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  (void)scratch, (void)queue;
  const float *x = buffers[0];
  float *y = buffers[1];
  for (int64_t i = 0; i < prepared->count; i++) y[i] = x[i] < 0 ? 0 : x[i]; /* NaN stays */
  return KP_OK;
}

static void release(kp_prepared *prepared) { free(prepared); }

#define STRING(x) #x
#define LINE(x) STRING(x)
static const kp_kernel relu = {
    .struct_size = sizeof(kp_kernel),
    .flags = KP_KERNEL_DETERMINISTIC,
    .name = "acme.relu.plain.f32",
    .source = "acme.c:" LINE(__LINE__),
    .query = query,
    .prepare = prepare,
    .run = run,
    .release = release,
};
static const kp_kernel *const kernels[] = {&relu};

struct kp_pack {
  int unused;
};
static kp_pack the_pack; /* nothing to open: no vendor's library behind this one */

static kp_status open_pack(const kp_option *options, size_t count, kp_pack **pack,
                           kp_error *error) {
  (void)options, (void)count, (void)error;
  *pack = &the_pack;
  return KP_OK;
}
static void close_pack(kp_pack *pack) { (void)pack; }
static const char *library_version(kp_pack *pack) {
  (void)pack;
  return "acme 1.0";
}
static const kp_kernel *const *list(kp_pack *pack, size_t *count) {
  (void)pack;
  *count = sizeof kernels / sizeof *kernels;
  return kernels;
}

static const kp_pack_table table = {
    .struct_size = sizeof table,
    .contract_version = KP_CONTRACT_VERSION,
    .name = "acme",
    .pack_version = "1.0",
    .open = open_pack,
    .close = close_pack,
    .library_version = library_version,
    .kernels = list,
};

KP_EXPORT const uint32_t kernel_pack_contract_version = KP_CONTRACT_VERSION;
KP_EXPORT const kp_pack_table *kernel_pack_table(uint32_t contract_version) {
  return contract_version == KP_CONTRACT_VERSION ? &table : NULL;
}
