/* What Python sees of machine.h. */
typedef int (*bench_function)(const void *handle, void *const *buffers, void *queue);
double bench_time_calls(bench_function run, const void *handle, void *const *buffers, void *queue,
                        int64_t iterations);
int bench_vector_lanes(void);
double bench_multiply_add_rate(int lanes, int threads, double seconds);
double bench_read_rate(const void *memory, int64_t bytes, int threads, double seconds);
