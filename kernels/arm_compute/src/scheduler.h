/* The library's work on OpenMP's threads, which all packs share. */
#ifndef KERNELS_ARM_COMPUTE_SCHEDULER_H
#define KERNELS_ARM_COMPUTE_SCHEDULER_H

#include "arm_compute/runtime/IScheduler.h"

/* Takes the place of the library's own pool of threads, once for the process. */
void scheduler_install();

/* What the library knows of the processor. */
arm_compute::CPUInfo &scheduler_cpu();

/* While it lives the calling thread's work for the library takes `threads` threads at most. */
class ThreadLimit {
 public:
  explicit ThreadLimit(int threads);
  ~ThreadLimit();
  ThreadLimit(const ThreadLimit &) = delete;
  ThreadLimit &operator=(const ThreadLimit &) = delete;

 private:
  unsigned before_;
};

#endif
