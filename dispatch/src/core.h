/*
 * core.h: what the dispatcher and the replay library share. Loads packs,
 * turns a problem's JSON into a kp_problem, asks, prepares and calls kernels.
 * Knows nothing of Python.
 */
#ifndef DISPATCH_CORE_H
#define DISPATCH_CORE_H

#include "kernel_pack.h"

/* ---- Packs: pack.c ------------------------------------------------------- */

typedef struct core_pack core_pack;

/* Loads the shared library at `path`, checks the contract's version (both are
 * named on a mismatch) and every kernel's table entry (name's grammar, required
 * slots), and opens the pack. */
kp_status core_pack_open(const char *path, const kp_option *options, size_t num_options,
                         core_pack **pack, kp_error *error);
/* The same for a table that is in memory already: a pack linked into the program,
 * or one whose slots are callbacks. The table must outlive the pack. */
kp_status core_pack_open_table(const kp_pack_table *table, const kp_option *options,
                               size_t num_options, core_pack **pack, kp_error *error);
/* Every call and answer of the pack must have been released before. */
void core_pack_close(core_pack *pack);
const char *core_pack_name(const core_pack *pack);
const char *core_pack_version(const core_pack *pack);         /* the pack's own */
const char *core_pack_library_version(const core_pack *pack); /* the vendor library's */
size_t core_pack_num_kernels(const core_pack *pack);
const kp_kernel *core_pack_kernel(const core_pack *pack, size_t index);
const kp_kernel *core_pack_find(const core_pack *pack, const char *kernel_name);
kp_pack *core_pack_handle(const core_pack *pack);
const kp_memory *core_pack_memory(const core_pack *pack); /* NULL on a CPU */

/* ---- Problems: problem.c ------------------------------------------------- */

typedef struct core_problem core_problem; /* owns one kp_problem and all it points to */

/* Parses the JSON form that dispatch.Problem.to_json() writes. Checks all:
 * ranks, extents (>= 0, product within int64), dtypes, layouts, indices. */
kp_status core_problem_parse(const char *json, size_t length, core_problem **problem,
                             kp_error *error);
void core_problem_free(core_problem *problem);
const kp_problem *core_problem_get(const core_problem *problem);

/* ---- Asking: ask.c ------------------------------------------------------- */

/* An answer with the arrays it needs. `layouts` and `packed_bytes` are owned. */
typedef struct core_answer {
  kp_answer answer;
  uint32_t num_inputs, num_outputs;
} core_answer;

/* NULL when memory ran out. */
core_answer *core_query(const core_pack *pack, const kp_kernel *kernel,
                        const core_problem *problem);
void core_answer_free(core_answer *answer);
/* The library's own words for a refusal; empty where the kernel has none. */
void core_reason(const core_pack *pack, const kp_kernel *kernel, const core_problem *problem,
                 char *text, size_t size);

/* ---- Calling: call.c ----------------------------------------------------- */

/* A kernel prepared for a problem, with all that one call needs. */
typedef struct core_call core_call;

/* `constants`: num_inputs pointers, NULL where not constant; NULL for none at
 * all. The packed forms are NOT made here: see core_call_pack. Fails where the
 * answer isn't yes. The call needs the pack, not the problem. */
kp_status core_call_prepare(const core_pack *pack, const kp_kernel *kernel,
                            const core_problem *problem, const void *const *constants,
                            core_call **call, kp_error *error);
void core_call_release(core_call *call);
const core_answer *core_call_answer(const core_call *call);
uint64_t core_call_packed_bytes(const core_call *call, uint32_t input);
uint64_t core_call_scratch_bytes(const core_call *call);
kp_status core_call_pack(const core_call *call, uint32_t input, const void *source,
                         void *destination, kp_error *error);

/* Runs in the caller's thread with the problem's number of OpenMP threads (the
 * thread's own setting is put back afterwards) and a scratch buffer that is
 * kept for each thread and grown when needed. KP_UNAVAILABLE: see
 * core_forked_with_threads. */
kp_status core_call_run(const core_call *call, void *const *buffers, void *queue);

/* The same on the host for a call of few buffers; KP_INVALID_ARGUMENT where one isn't aligned to
 * its element, or where there are more. */
enum { CORE_FEW_BUFFERS = 6 };
kp_status core_call_run_aligned(const core_call *call, void *const *buffers);

/* With scratch of the caller's own (the replay's), threads already set. */
kp_status core_call_run_with(const core_call *call, void *const *buffers, void *scratch,
                             void *queue);

/* After fork() in a child whose parent ran kernels on several threads, OpenMP's
 * pool is gone: 1 there from then on, and whatever needs more than one thread
 * fails with KP_UNAVAILABLE. Problems of one thread work. */
int core_forked_with_threads(void);

#endif
