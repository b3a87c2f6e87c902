/* answers.h: what a pack says of a problem, as lines of JSON on standard output. */
#ifndef BENCH_ANSWERS_H
#define BENCH_ANSWERS_H

#include "core.h"

/* A line for the pack, then one for each of its kernels for the problem's operator. 0: no memory.
 */
int answers_print(const core_pack *pack, const core_problem *problem);

#endif
