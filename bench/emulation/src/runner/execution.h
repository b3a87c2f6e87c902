/* execution.h: one kernel prepared, warmed up, and run between markers. */
#ifndef BENCH_EXECUTION_H
#define BENCH_EXECUTION_H

#include "arguments.h"
#include "core.h"

/* Runs the kernel of the arguments on their inputs and writes its outputs; complains and returns 0
 * where that fails. */
int execution_run(const arguments *a, const core_pack *pack, const core_problem *problem);

#endif
