/*
 * replay.h: libreplay, which runs planned traces. Needs neither Python nor any
 * file of the project but the kernel packs that the plan names.
 *
 *   replay_error error;
 *   replay_packs *packs;
 *   replay_file *file;
 *   replay *model;
 *   if (replay_packs_open_installed(&packs, &error) ||
 *       replay_file_open("model.safetensors", &file, &error) ||
 *       replay_create(file, NULL, replay_packs_list(packs), replay_packs_count(packs), &model,
 *                     &error))
 *     return fprintf(stderr, "%s\n", error.message), 1;
 *   const void *inputs[] = {image};
 *   void *outputs[] = {NULL};
 *   if (replay_run(model, inputs, outputs, &error)) ...
 *   replay_memory_free(outputs[0]);
 *   replay_free(model), replay_file_close(file), replay_packs_close(packs);
 *
 * Every function that can fail returns a replay_status, 0 for success, and
 * writes a sentence into `error`, which may be NULL. What comes from a file is
 * checked before it is used: no file makes this library read or write outside
 * of its memory. Kernels must check what they read as indices.
 */
#ifndef REPLAY_H
#define REPLAY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define REPLAY_EXPORT __attribute__((visibility("default")))
#else
#define REPLAY_EXPORT
#endif

/* The contract's kp_status. */
typedef enum replay_status {
  REPLAY_OK = 0,
  REPLAY_INVALID_ARGUMENT = 1, /* the caller, or the file, is wrong */
  REPLAY_OUT_OF_MEMORY = 2,
  REPLAY_UNAVAILABLE = 3,    /* a pack, a kernel, the hardware, or threads after a fork */
  REPLAY_WRONG_VERSION = 4,  /* of a pack, of its library, or of the plan */
  REPLAY_LIBRARY_FAILED = 5, /* a vendor's library reported an error */
  REPLAY_INTERNAL = 6
} replay_status;

typedef struct replay_error {
  char message[4096]; /* lists all that is missing, not just the first */
} replay_error;

/* ---- Packs ------------------------------------------------------------------- */

typedef struct core_pack replay_pack;     /* one opened pack */
typedef struct replay_packs replay_packs; /* a list that owns its packs */

REPLAY_EXPORT replay_status replay_packs_new(replay_packs **packs, replay_error *error);
typedef struct replay_option {
  const char *name; /* "library": path of the vendor's library; others are the pack's own */
  const char *value;
} replay_option;

/* Opens one more, by the pack's own search for what no option names. */
REPLAY_EXPORT replay_status replay_packs_add(replay_packs *packs, const char *path,
                                             const replay_option *options, size_t num_options,
                                             replay_error *error);
/* All packs of ../kernels, seen from where this library lies. Those that can't be opened
 * are left out; replay_packs_left_out() tells why. */
REPLAY_EXPORT replay_status replay_packs_open_installed(replay_packs **packs, replay_error *error);
REPLAY_EXPORT const char *replay_packs_left_out(const replay_packs *packs);
REPLAY_EXPORT size_t replay_packs_count(const replay_packs *packs);
REPLAY_EXPORT replay_pack *const *replay_packs_list(const replay_packs *packs);
/* After every replay that was made with these packs has been freed. */
REPLAY_EXPORT void replay_packs_close(replay_packs *packs);

/* ---- Files ------------------------------------------------------------------- */

typedef struct replay_file replay_file;
typedef struct replay replay;

/* Maps a safetensors file and checks its header. The file must not be changed while it is open. */
REPLAY_EXPORT replay_status replay_file_open(const char *path, replay_file **file,
                                             replay_error *error);
/* After every replay that was made from the file has been freed. */
REPLAY_EXPORT void replay_file_close(replay_file *file);
REPLAY_EXPORT size_t replay_file_num_plans(const replay_file *file);
REPLAY_EXPORT const char *replay_file_plan_name(const replay_file *file, size_t index);

/* Makes the plan of that name ready. NULL: of the plans whose kernels are all here the one of
 * the least expected time; where none is, the error names what each of them lacks. */
REPLAY_EXPORT replay_status replay_create(replay_file *file, const char *plan,
                                          replay_pack *const *packs, size_t num_packs,
                                          replay **result, replay_error *error);

/* ---- Without a file ---------------------------------------------------------- */

typedef struct replay_constant {
  const char *name;
  const void *data; /* unchanged until the replay is freed: see replay_reads_constant() */
  uint64_t bytes;
} replay_constant;

/* Constants that kernels packed, shared by the replays that were made with one store. It may be
 * freed before them: the last one that goes takes it along. */
typedef struct replay_store replay_store;
REPLAY_EXPORT replay_status replay_store_new(replay_store **store, replay_error *error);
REPLAY_EXPORT void replay_store_free(replay_store *store);

/* `plan`: the plan's JSON. `store` may be NULL: nothing is then shared with other replays. */
REPLAY_EXPORT replay_status replay_create_from_memory(const char *plan, size_t plan_bytes,
                                                      const replay_constant *constants,
                                                      size_t num_constants,
                                                      replay_pack *const *packs, size_t num_packs,
                                                      replay_store *store, replay **result,
                                                      replay_error *error);

/* ---- What a replay is -------------------------------------------------------- */

typedef struct replay_tensor {
  const char *name;
  const char *dtype; /* NumPy's name */
  int32_t element_bytes;
  int32_t num_dimensions;
  const int64_t *shape;
  uint64_t bytes; /* dense, the last dimension fastest */
} replay_tensor;

typedef struct replay_step {
  const char *kernel;
  const char *node; /* the trace's name for it */
  uint64_t scratch_bytes;
  int32_t threads;
} replay_step;

typedef struct replay_sizes {
  uint64_t arena_bytes;   /* of one run at a time */
  uint64_t scratch_bytes; /* likewise */
  uint64_t packed_bytes;  /* of packed constants, also those shared with other replays */
} replay_sizes;

REPLAY_EXPORT size_t replay_num_inputs(const replay *model);
REPLAY_EXPORT size_t replay_num_outputs(const replay *model);
REPLAY_EXPORT size_t replay_num_steps(const replay *model);
/* NULL where there is no such index. What they point to lives as long as the replay. */
REPLAY_EXPORT const replay_tensor *replay_input(const replay *model, size_t index);
REPLAY_EXPORT const replay_tensor *replay_output(const replay *model, size_t index);
REPLAY_EXPORT const replay_step *replay_step_info(const replay *model, size_t index);
REPLAY_EXPORT replay_sizes replay_memory(const replay *model);
/* 1 where runs read the constant of that name in the caller's memory; 0 where its kernels took
 * copies, so that the caller's memory may go. */
REPLAY_EXPORT int replay_reads_constant(const replay *model, const char *name);
REPLAY_EXPORT void replay_free(replay *model);

/* ---- Running ----------------------------------------------------------------- */

/*
 * Runs. `inputs` and `outputs`: one pointer each to the host's memory, aligned to its element; an
 * output that is NULL is allocated (replay_memory_free() frees it). An output must not overlap an
 * input or another output. May be called from several threads at once; each run has working
 * memory of its own. In a process forked from one that ran kernels on several threads a plan of
 * more than one thread gives REPLAY_UNAVAILABLE, as does every plan for a device.
 *
 * Where the plan is for a device with memory of its own, inputs are copied there and outputs
 * back, and the call waits: replay_bind() does neither.
 */
REPLAY_EXPORT replay_status replay_run(replay *model, const void *const *inputs, void **outputs,
                                       replay_error *error);
/* The same, and writes each step's seconds to `seconds` (replay_num_steps() of them); on a device
 * each step is waited for. */
REPLAY_EXPORT replay_status replay_run_timed(replay *model, const void *const *inputs,
                                             void **outputs, double *seconds, replay_error *error);

/*
 * A run whose inputs and outputs stay where they are, with working memory of its own. On a device
 * they are the pack's handles (for OpenCL cl_mem, as large as their tensors, of the context of
 * replay_queue()), and `queue` is the caller's (cl_command_queue), NULL for one of the run's own;
 * replay_bound_run() then enqueues and returns, replay_bound_wait() waits. On the host `queue` is
 * NULL and a run is done when it returns. One thread at a time; freed before the replay.
 */
typedef struct replay_bound replay_bound;
REPLAY_EXPORT replay_status replay_bind(replay *model, void *queue, const void *const *inputs,
                                        void *const *outputs, replay_bound **bound,
                                        replay_error *error);
REPLAY_EXPORT replay_status replay_bound_run(replay_bound *bound, replay_error *error);
REPLAY_EXPORT replay_status replay_bound_wait(replay_bound *bound, replay_error *error);
REPLAY_EXPORT void replay_bound_free(replay_bound *bound);
/* The device's queue that constants were copied on, NULL on the host: callers learn from it what
 * context their handles must be of. It is the replay's. */
REPLAY_EXPORT void *replay_queue(const replay *model);

/* The host's memory with the alignment that kernels like best; NULL when there is none. */
REPLAY_EXPORT void *replay_memory_allocate(uint64_t bytes);
REPLAY_EXPORT void replay_memory_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
