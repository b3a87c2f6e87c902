/*
 * fake_pack.c: a pack whose kernels are simple enough to foretell their results.
 * The build makes several libraries of it, each broken in one way by a macro.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_pack.h"

#ifndef FAKE_VERSION
#define FAKE_VERSION KP_CONTRACT_VERSION
#endif
#ifndef FAKE_NAME
#define FAKE_NAME "fake.add.plain.f32"
#endif
#ifndef FAKE_RUN
#define FAKE_RUN run_add
#endif

struct kp_pack {
  int opened;
};

struct kp_prepared {
  int64_t elements;
  float bound; /* of "scale.bound": the constant's first element */
};

/* ---- Queries ----------------------------------------------------------------- */

static int is_plain(const kp_tensor *t) {
  return !kp_is_absent(t) && kp_is_dtype(t, kDLFloat, 32) && kp_is_layout(t, "nchw");
}

/* All tensors are float32 of one shape of rank 3 at most, but for constants, which hold one. */
static int accepts(const kp_problem *problem, uint32_t num_inputs, kp_answer *answer) {
  if (problem->num_inputs != num_inputs || problem->num_outputs != 1 || problem->num_epilogues) {
    kp_refuse_number(answer, KP_NO_SHAPE, "inputs", "of the operator", problem->num_inputs);
    return 0;
  }
  const kp_tensor *y = &problem->outputs[0];
  for (uint32_t i = 0; i <= num_inputs; i++) {
    const kp_tensor *t = i < num_inputs ? &problem->inputs[i] : y;
    if (!is_plain(t)) {
      kp_refuse(answer, KP_NO_DTYPE, "x.dtype", "float32 in nchw");
      return 0;
    }
    if (t->dl.ndim > 3) {
      kp_refuse_number(answer, KP_NO_RANK, "x.rank", "<= 3", t->dl.ndim);
      return 0;
    }
    int64_t wanted = kp_is_constant(t) ? 1 : kp_elements(y);
    if (kp_elements(t) != wanted) {
      kp_refuse_number(answer, KP_NO_SHAPE, "x.shape", "the output's", kp_elements(t));
      return 0;
    }
  }
  answer->code = KP_YES;
  answer->cost = 1e-6;
  return 1;
}

static void query_binary(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         kp_answer *answer) {
  (void)pack, (void)kernel;
  if (accepts(problem, 2, answer)) answer->may_overwrite = 3;
}

static void query_scratch(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                          kp_answer *answer) {
  (void)pack, (void)kernel;
  if (accepts(problem, 2, answer)) answer->scratch_bytes = (uint64_t)kp_bytes(problem->outputs);
}

static void query_packed(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         kp_answer *answer) {
  (void)pack, (void)kernel;
  if (!accepts(problem, 2, answer)) return;
  if (!kp_is_constant(&problem->inputs[1]))
    kp_refuse(answer, KP_NO_CONSTANT, "w", "constant");
  else
    answer->packed_bytes[1] = 2 * sizeof(float);
}

static void query_bound(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                        kp_answer *answer) {
  query_packed(pack, kernel, problem, answer);
  answer->packed_bytes[1] = 0;
  answer->flags = KP_ANSWER_BINDS_CONSTANTS;
}

static void query_unary(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                        kp_answer *answer) {
  (void)pack, (void)kernel;
  accepts(problem, 1, answer);
}

static void reason(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem, char *text,
                   size_t size) {
  (void)pack, (void)kernel, (void)problem;
  strncpy(text, "the fake library says no", size);
}

/* ---- Preparing --------------------------------------------------------------- */

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)pack, (void)kernel, (void)error;
  *prepared = calloc(1, sizeof **prepared);
  if (!*prepared) return KP_OUT_OF_MEMORY;
  (*prepared)->elements = kp_elements(problem->outputs);
  if (problem->num_inputs > 1 && constants[1]) (*prepared)->bound = *(const float *)constants[1];
  return KP_OK;
}

static kp_status prepare_not(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                             const void *const *constants, kp_prepared **prepared,
                             kp_error *error) {
  (void)pack, (void)kernel, (void)problem, (void)constants, (void)prepared, (void)error;
  return KP_LIBRARY_FAILED;
}

static void release(kp_prepared *prepared) { free(prepared); }

static kp_status pack_twice(const kp_prepared *prepared, uint32_t input, const void *source,
                            void *destination, kp_error *error) {
  (void)prepared, (void)input, (void)error;
  for (int i = 0; i < 2; i++) ((float *)destination)[i] = *(const float *)source;
  return KP_OK;
}

/* ---- Running ----------------------------------------------------------------- */

static kp_status run_add(const kp_prepared *prepared, void *const *buffers, void *scratch,
                         void *queue) {
  const float *a = buffers[0], *b = buffers[1];
  float *y = buffers[2];
  (void)scratch, (void)queue;
  for (int64_t i = 0; i < prepared->elements; i++) y[i] = a[i] + b[i];
  return KP_OK;
}

static kp_status run_mul(const kp_prepared *prepared, void *const *buffers, void *scratch,
                         void *queue) {
  const float *a = buffers[0], *b = buffers[1];
  float *products = scratch;
  (void)queue;
  if (!prepared->elements) return KP_OK;
  if ((uintptr_t)scratch % KP_ALIGNMENT) return KP_INTERNAL;
  for (int64_t i = 0; i < prepared->elements; i++) products[i] = a[i] * b[i];
  memcpy(buffers[2], products, (size_t)prepared->elements * sizeof *products);
  return KP_OK;
}

static kp_status run_packed(const kp_prepared *prepared, void *const *buffers, void *scratch,
                            void *queue) {
  const float *x = buffers[0], *w = buffers[1];
  float *y = buffers[2];
  (void)scratch, (void)queue;
  for (int64_t i = 0; i < prepared->elements; i++) y[i] = x[i] * (w[0] + w[1]);
  return KP_OK;
}

static kp_status run_bound(const kp_prepared *prepared, void *const *buffers, void *scratch,
                           void *queue) {
  const float *x = buffers[0];
  float *y = buffers[2];
  (void)scratch, (void)queue;
  for (int64_t i = 0; i < prepared->elements; i++) y[i] = x[i] * prepared->bound;
  return KP_OK;
}

static kp_status run_count(const kp_prepared *prepared, void *const *buffers, void *scratch,
                           void *queue) {
  (void)scratch, (void)queue;
  int count = 0;
#pragma omp parallel
#pragma omp single
  count = omp_get_num_threads();
  for (int64_t i = 0; i < prepared->elements; i++) ((float *)buffers[1])[i] = (float)count;
  return KP_OK;
}

static kp_status run_not(const kp_prepared *prepared, void *const *buffers, void *scratch,
                         void *queue) {
  (void)prepared, (void)buffers, (void)scratch, (void)queue;
  return KP_LIBRARY_FAILED;
}

/* ---- The pack ---------------------------------------------------------------- */

#define KERNEL(NAME, QUERY, PREPARE, PACK, RUN) \
  {sizeof(kp_kernel),                           \
   KP_KERNEL_DETERMINISTIC,                     \
   NAME,                                        \
   "fake_pack.c:1",                             \
   NULL,                                        \
   QUERY,                                       \
   reason,                                      \
   PREPARE,                                     \
   PACK,                                        \
   RUN,                                         \
   release}

static const kp_kernel all[] = {
    KERNEL(FAKE_NAME, query_binary, prepare, NULL, FAKE_RUN),
    KERNEL("fake.mul.scratch.f32", query_scratch, prepare, NULL, run_mul),
    KERNEL("fake.scale.packed.f32", query_packed, prepare, pack_twice, run_packed),
    KERNEL("fake.scale.bound.f32", query_bound, prepare, NULL, run_bound),
    KERNEL("fake.count.threads.f32", query_unary, prepare, NULL, run_count),
    KERNEL("fake.fail.run.f32", query_unary, prepare, NULL, run_not),
    KERNEL("fake.fail.prepare.f32", query_unary, prepare_not, NULL, run_not),
};
enum { NUM_KERNELS = sizeof all / sizeof all[0] };
static const kp_kernel *pointers[NUM_KERNELS];

static kp_status open_pack(const kp_option *options, size_t num_options, kp_pack **pack,
                           kp_error *error) {
  for (size_t i = 0; i < num_options; i++) {
    if (strcmp(options[i].name, "library") || strcmp(options[i].value, "/nowhere")) continue;
    strcpy(error->message, "the fake library isn't at /nowhere");
    return KP_UNAVAILABLE;
  }
  for (int i = 0; i < NUM_KERNELS; i++) pointers[i] = &all[i];
  *pack = calloc(1, sizeof **pack);
  return *pack ? KP_OK : KP_OUT_OF_MEMORY;
}

static void close_pack(kp_pack *pack) { free(pack); }

static const char *library_version(kp_pack *pack) {
  (void)pack;
  return "fake library 1.0";
}

static const kp_kernel *const *kernels(kp_pack *pack, size_t *count) {
  (void)pack;
  *count = NUM_KERNELS;
  return pointers;
}

static const kp_pack_table table = {
    sizeof(kp_pack_table), FAKE_VERSION, "fake", "2.0", open_pack, close_pack,
    library_version,       kernels,      NULL,
};

KP_EXPORT const uint32_t kernel_pack_contract_version = FAKE_VERSION;

KP_EXPORT const kp_pack_table *kernel_pack_table(uint32_t contract_version);
const kp_pack_table *kernel_pack_table(uint32_t contract_version) {
  return contract_version == FAKE_VERSION ? &table : NULL;
}
