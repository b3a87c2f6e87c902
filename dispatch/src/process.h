/* process.h: whether this process may still run kernels on several threads. */
#ifndef DISPATCH_PROCESS_H
#define DISPATCH_PROCESS_H

#include <stdatomic.h>

/* Every pack points to the state of the library that opened it, so that two
 * libraries which share a pack share its state too. */
typedef struct core_process {
  atomic_int used_threads; /* a kernel ran on several threads here */
  atomic_int forked;       /* and then this process was forked off */
} core_process;

core_process *core_process_state(void);

#endif
