/*
 * machine.h: what a machine can do at most, and a clock around calls of C functions.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stdint.h>

/* The shape of a prepared kernel's run, and of a library's called directly. 0: success. */
typedef int (*bench_function)(const void *handle, void *const *buffers, void *queue);

/* Seconds of `iterations` calls one after the other; negative when one of them failed. */
double bench_time_calls(bench_function run, const void *handle, void *const *buffers, void *queue,
                        int64_t iterations);

/* Lanes of float32 in the widest vectors that this CPU multiplies and adds. */
int bench_vector_lanes(void);

/* Most float32 operations a second that `threads` threads reach (a fused multiply-add is two). */
double bench_multiply_add_rate(int lanes, int threads, double seconds);

/* Most bytes a second that `threads` threads read, over and over, from `bytes` of memory. */
double bench_read_rate(const void *memory, int64_t bytes, int threads, double seconds);

#endif
