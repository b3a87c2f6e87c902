/* What Python sees of replay.h. */

typedef enum replay_status {
  REPLAY_OK,
  REPLAY_INVALID_ARGUMENT,
  REPLAY_OUT_OF_MEMORY,
  REPLAY_UNAVAILABLE,
  REPLAY_WRONG_VERSION,
  REPLAY_LIBRARY_FAILED,
  REPLAY_INTERNAL,
  ...
} replay_status;

typedef struct replay_error {
  char message[4096];
} replay_error;

typedef struct core_pack replay_pack;
typedef struct replay replay;
typedef struct replay_store replay_store;

typedef struct replay_constant {
  const char *name;
  const void *data;
  uint64_t bytes;
} replay_constant;

replay_status replay_store_new(replay_store **store, replay_error *error);
void replay_store_free(replay_store *store);

replay_status replay_create_from_memory(const char *plan, size_t plan_bytes,
                                        const replay_constant *constants, size_t num_constants,
                                        replay_pack *const *packs, size_t num_packs,
                                        replay_store *store, replay **result, replay_error *error);

typedef struct replay_tensor {
  const char *name;
  const char *dtype;
  int32_t element_bytes;
  int32_t num_dimensions;
  const int64_t *shape;
  uint64_t bytes;
} replay_tensor;

typedef struct replay_step {
  const char *kernel;
  const char *node;
  uint64_t scratch_bytes;
  int32_t threads;
} replay_step;

typedef struct replay_sizes {
  uint64_t arena_bytes;
  uint64_t scratch_bytes;
  uint64_t packed_bytes;
} replay_sizes;

size_t replay_num_inputs(const replay *model);
size_t replay_num_outputs(const replay *model);
size_t replay_num_steps(const replay *model);
const replay_tensor *replay_input(const replay *model, size_t index);
const replay_tensor *replay_output(const replay *model, size_t index);
const replay_step *replay_step_info(const replay *model, size_t index);
replay_sizes replay_memory(const replay *model);
int replay_reads_constant(const replay *model, const char *name);
void replay_free(replay *model);

replay_status replay_run(replay *model, const void *const *inputs, void **outputs,
                         replay_error *error);
replay_status replay_run_timed(replay *model, const void *const *inputs, void **outputs,
                               double *seconds, replay_error *error);
void *replay_memory_allocate(uint64_t bytes);
void replay_memory_free(void *memory);
