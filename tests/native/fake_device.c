/*
 * fake_device.c: a pack whose device has a memory of its own. Its handles are no addresses, work
 * waits in a queue until somebody waits for it, and whatever breaks the contract aborts: memory
 * that is freed while work needs it, handles that were never given out, what is left at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_pack.h"

enum { MOST = 512, VIEW_ALIGNMENT = 64 };

typedef struct block {
  char *data; /* NULL: freed, or never given out */
  uint64_t bytes;
  uint32_t parent; /* of a view: one more than its allocation's number */
  uint32_t views;
} block;

typedef struct work {
  void (*run)(const struct work *work);
  void *queue;
  kp_prepared *prepared;
  char *buffers[3];
  void *handles[3];
  uint64_t bytes;
} work;

struct kp_pack {
  block blocks[MOST];
  work works[MOST];
  uint32_t num_blocks, num_works, queues;
  uint64_t room; /* bytes that can be had altogether */
  int fails;     /* the next wait reports that something went wrong */
};

struct kp_prepared {
  kp_pack *pack;
  int64_t elements;
  void *bound; /* handle of "scale.bound"'s constant */
};

#define REQUIRE(condition)                                                     \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%s:%d: REQUIRE(%s)\n", __FILE__, __LINE__, #condition); \
      abort();                                                                 \
    }                                                                          \
  } while (0)

/* ---- Memory ------------------------------------------------------------------ */

static const uintptr_t first_handle = 0x10001; /* odd, so that it is no address of anything */

static block *block_of(kp_pack *pack, const void *handle) {
  uintptr_t number = ((uintptr_t)handle - first_handle) / 2;
  REQUIRE(number < pack->num_blocks && pack->blocks[number].data);
  return &pack->blocks[number];
}

static void *add_block(kp_pack *pack, block b) {
  REQUIRE(pack->num_blocks < MOST);
  pack->blocks[pack->num_blocks] = b;
  return (void *)(first_handle + 2 * (uintptr_t)pack->num_blocks++);
}

static kp_status allocate(kp_pack *pack, DLDevice device, uint64_t bytes, void **handle,
                          kp_error *error) {
  REQUIRE(device.device_type == kDLOpenCL);
  if (bytes > pack->room) {
    strcpy(error->message, "the fake device is full");
    return KP_OUT_OF_MEMORY;
  }
  pack->room -= bytes;
  block b = {.data = malloc(bytes + 1), .bytes = bytes};
  REQUIRE(b.data);
  memset(b.data, 0xFF, bytes);
  *handle = add_block(pack, b);
  return KP_OK;
}

static void free_block(kp_pack *pack, DLDevice device, void *handle) {
  block *b = block_of(pack, handle);
  (void)device;
  for (uint32_t i = 0; i < pack->num_works; i++)
    for (int j = 0; j < 3; j++) REQUIRE(pack->works[i].handles[j] != handle);
  REQUIRE(!b->views);
  if (b->parent) {
    pack->blocks[b->parent - 1].views--;
  } else {
    pack->room += b->bytes;
    free(b->data);
  }
  b->data = NULL;
}

static kp_status view(kp_pack *pack, void *handle, uint64_t offset, uint64_t bytes, void **result,
                      kp_error *error) {
  block *b = block_of(pack, handle);
  REQUIRE(!b->parent && bytes && offset <= b->bytes && bytes <= b->bytes - offset);
  if (offset % VIEW_ALIGNMENT) {
    strcpy(error->message, "a part must begin at a multiple of 64 bytes");
    return KP_INVALID_ARGUMENT;
  }
  b->views++;
  block part = {b->data + offset, bytes, (uint32_t)(b - pack->blocks) + 1, 0};
  *result = add_block(pack, part);
  return KP_OK;
}

/* ---- Queues ------------------------------------------------------------------ */

static void enqueue(kp_pack *pack, work w) {
  REQUIRE(w.queue && pack->num_works < MOST);
  pack->works[pack->num_works++] = w;
}

static void run_copy(const work *w) { memcpy(w->buffers[0], w->buffers[1], w->bytes); }

static kp_status copy(kp_pack *pack, void *destination, const void *source, uint64_t bytes,
                      kp_copy_kind kind, void *queue, kp_error *error) {
  (void)error;
  work w = {.run = run_copy, .queue = queue, .bytes = bytes};
  w.buffers[0] = destination;
  w.buffers[1] = (char *)source;
  if (kind != KP_DEVICE_TO_HOST) {
    REQUIRE(block_of(pack, destination)->bytes >= bytes);
    w.handles[0] = destination;
    w.buffers[0] = block_of(pack, destination)->data;
  }
  if (kind != KP_HOST_TO_DEVICE) {
    REQUIRE(block_of(pack, source)->bytes >= bytes);
    w.handles[1] = (void *)source;
    w.buffers[1] = block_of(pack, source)->data;
  }
  enqueue(pack, w);
  return KP_OK;
}

static kp_status synchronize(kp_pack *pack, void *queue, kp_error *error) {
  uint32_t left = 0;
  for (uint32_t i = 0; i < pack->num_works; i++) {
    if (pack->works[i].queue == queue)
      pack->works[i].run(&pack->works[i]);
    else
      pack->works[left++] = pack->works[i];
  }
  pack->num_works = left;
  if (!pack->fails) return KP_OK;
  pack->fails = 0;
  strcpy(error->message, "the fake device was lost");
  return KP_LIBRARY_FAILED;
}

static kp_status open_queue(kp_pack *pack, DLDevice device, void **queue, kp_error *error) {
  (void)device, (void)error;
  *queue = malloc(1);
  REQUIRE(*queue);
  pack->queues++;
  return KP_OK;
}

static void close_queue(kp_pack *pack, void *queue) {
  for (uint32_t i = 0; i < pack->num_works; i++) REQUIRE(pack->works[i].queue != queue);
  REQUIRE(pack->queues--);
  free(queue);
}

static const kp_memory memory = {sizeof(kp_memory), allocate,   free_block, view, copy,
                                 synchronize,       open_queue, close_queue};

/* ---- Kernels ----------------------------------------------------------------- */

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (problem->device.device_type != kDLOpenCL || problem->num_inputs != 2) {
    kp_refuse(answer, KP_NO_DEVICE, "device", "opencl");
    return;
  }
  answer->code = KP_YES;
  answer->cost = 1e-7;
  if (kernel->pack_constant)
    answer->packed_bytes[1] = 2 * sizeof(float);
  else if (strstr(kernel->name, "bound"))
    answer->flags = KP_ANSWER_BINDS_CONSTANTS;
  else
    answer->may_overwrite = 3;
}

static kp_status prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)kernel, (void)error;
  *prepared = calloc(1, sizeof **prepared);
  REQUIRE(*prepared);
  **prepared = (kp_prepared){pack, kp_elements(problem->outputs), (void *)constants[1]};
  if (constants[1]) block_of(pack, constants[1]);
  return KP_OK;
}

static kp_status pack_twice(const kp_prepared *prepared, uint32_t input, const void *source,
                            void *destination, kp_error *error) {
  (void)input, (void)error;
  float *packed = (float *)block_of(prepared->pack, destination)->data;
  packed[0] = packed[1] = *(const float *)block_of(prepared->pack, source)->data;
  return KP_OK;
}

static void run_sum(const work *w) {
  const float *a = (const float *)w->buffers[0], *b = (const float *)w->buffers[1];
  for (int64_t i = 0; i < w->prepared->elements; i++) ((float *)w->buffers[2])[i] = a[i] + b[i];
}

static void run_twice(const work *w) {
  const float *x = (const float *)w->buffers[0], *packed = (const float *)w->buffers[1];
  for (int64_t i = 0; i < w->prepared->elements; i++)
    ((float *)w->buffers[2])[i] = x[i] * (packed[0] + packed[1]);
}

static void run_bound(const work *w) {
  const float *x = (const float *)w->buffers[0];
  float factor = *(const float *)block_of(w->prepared->pack, w->prepared->bound)->data;
  for (int64_t i = 0; i < w->prepared->elements; i++) ((float *)w->buffers[2])[i] = x[i] * factor;
}

static kp_status run(const kp_prepared *prepared, void *const *buffers, void *queue,
                     void (*function)(const work *)) {
  work w = {.run = function, .queue = queue, .prepared = (kp_prepared *)prepared};
  for (int i = 0; i < 3; i++) {
    w.handles[i] = buffers[i];
    w.buffers[i] = block_of(prepared->pack, buffers[i])->data;
  }
  enqueue(prepared->pack, w);
  return KP_OK;
}

#define RUN(NAME, FUNCTION)                                                               \
  static kp_status NAME(const kp_prepared *prepared, void *const *buffers, void *scratch, \
                        void *queue) {                                                    \
    (void)scratch;                                                                        \
    return run(prepared, buffers, queue, FUNCTION);                                       \
  }
RUN(enqueue_sum, run_sum)
RUN(enqueue_twice, run_twice)
RUN(enqueue_bound, run_bound)

static void release(kp_prepared *prepared) {
  for (uint32_t i = 0; i < prepared->pack->num_works; i++)
    REQUIRE(prepared->pack->works[i].prepared != prepared);
  free(prepared);
}

#define KERNEL(NAME, PACK, RUN) \
  {sizeof(kp_kernel),           \
   KP_KERNEL_DETERMINISTIC,     \
   NAME,                        \
   "fake_device.c:1",           \
   NULL,                        \
   query,                       \
   NULL,                        \
   prepare,                     \
   PACK,                        \
   RUN,                         \
   release}

static const kp_kernel all[] = {
    KERNEL("fake.add.plain.f32", NULL, enqueue_sum),
    KERNEL("fake.scale.packed.f32", pack_twice, enqueue_twice),
    KERNEL("fake.scale.bound.f32", NULL, enqueue_bound),
};
enum { NUM_KERNELS = sizeof all / sizeof all[0] };
static const kp_kernel *const pointers[NUM_KERNELS] = {&all[0], &all[1], &all[2]};

/* ---- The pack ---------------------------------------------------------------- */

static kp_status open_pack(const kp_option *options, size_t num_options, kp_pack **pack,
                           kp_error *error) {
  (void)error;
  *pack = calloc(1, sizeof **pack);
  if (!*pack) return KP_OUT_OF_MEMORY;
  (*pack)->room = 1 << 20;
  for (size_t i = 0; i < num_options; i++) {
    if (!strcmp(options[i].name, "room")) (*pack)->room = (uint64_t)atoll(options[i].value);
    if (!strcmp(options[i].name, "fails")) (*pack)->fails = 1;
  }
  return KP_OK;
}

static void close_pack(kp_pack *pack) {
  for (uint32_t i = 0; i < pack->num_blocks; i++) REQUIRE(!pack->blocks[i].data);
  REQUIRE(!pack->queues && !pack->num_works);
  free(pack);
}

static const char *library_version(kp_pack *pack) {
  (void)pack;
  return "fake device 1.0";
}

static const kp_kernel *const *kernels(kp_pack *pack, size_t *count) {
  (void)pack;
  *count = NUM_KERNELS;
  return pointers;
}

static const kp_pack_table table = {
    sizeof(kp_pack_table),
    KP_CONTRACT_VERSION,
    "fake",
    "1.0",
    open_pack,
    close_pack,
    library_version,
    kernels,
    &memory,
};

KP_EXPORT const kp_pack_table *kernel_pack_table(uint32_t contract_version);
const kp_pack_table *kernel_pack_table(uint32_t contract_version) {
  return contract_version == KP_CONTRACT_VERSION ? &table : NULL;
}

/* What a caller on the device itself would use. */
KP_EXPORT float *fake_device_data(kp_pack *pack, void *handle);
float *fake_device_data(kp_pack *pack, void *handle) {
  return (float *)block_of(pack, handle)->data;
}
