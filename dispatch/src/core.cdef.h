/* What Python sees of core.h. */

typedef struct core_pack core_pack;
typedef struct core_problem core_problem;
typedef struct core_call core_call;
typedef struct core_answer {
  kp_answer answer;
  uint32_t num_inputs, num_outputs;
} core_answer;

kp_status core_pack_open(const char *path, const kp_option *options, size_t num_options,
                         core_pack **pack, kp_error *error);
kp_status core_pack_open_table(const kp_pack_table *table, const kp_option *options,
                               size_t num_options, core_pack **pack, kp_error *error);
void core_pack_close(core_pack *pack);
const char *core_pack_name(const core_pack *pack);
const char *core_pack_version(const core_pack *pack);
const char *core_pack_library_version(const core_pack *pack);
size_t core_pack_num_kernels(const core_pack *pack);
const kp_kernel *core_pack_kernel(const core_pack *pack, size_t index);
const kp_kernel *core_pack_find(const core_pack *pack, const char *kernel_name);
kp_pack *core_pack_handle(const core_pack *pack);
const kp_memory *core_pack_memory(const core_pack *pack);

kp_status core_problem_parse(const char *json, size_t length, core_problem **problem,
                             kp_error *error);
void core_problem_free(core_problem *problem);
const kp_problem *core_problem_get(const core_problem *problem);

core_answer *core_query(const core_pack *pack, const kp_kernel *kernel,
                        const core_problem *problem);
void core_answer_free(core_answer *answer);
void core_reason(const core_pack *pack, const kp_kernel *kernel, const core_problem *problem,
                 char *text, size_t size);

kp_status core_call_prepare(const core_pack *pack, const kp_kernel *kernel,
                            const core_problem *problem, const void *const *constants,
                            core_call **call, kp_error *error);
void core_call_release(core_call *call);
const core_answer *core_call_answer(const core_call *call);
uint64_t core_call_packed_bytes(const core_call *call, uint32_t input);
uint64_t core_call_scratch_bytes(const core_call *call);
kp_status core_call_pack(const core_call *call, uint32_t input, const void *source,
                         void *destination, kp_error *error);
kp_status core_call_run(const core_call *call, void *const *buffers, void *queue);
kp_status core_call_run_aligned(const core_call *call, void *const *buffers);
kp_status core_call_run_with(const core_call *call, void *const *buffers, void *scratch,
                             void *queue);
int core_forked_with_threads(void);
